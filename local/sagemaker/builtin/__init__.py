"""Stand-ins for SageMaker's built-in algorithms.

A stand-in keeps an algorithm's documented contract (channels, hyperparameters, data, metrics, answers) and
trains Loupe's own network in the place of the algorithm's. It says so wherever it is asked.
"""
