"""Rekognition Custom Labels of the local cloud: projects, datasets, model versions, and their answers.

Requests, states and errors are Rekognition's. What learns is Loupe's own network, in the place of Amazon's:
each version says so in its StatusMessage.
"""
