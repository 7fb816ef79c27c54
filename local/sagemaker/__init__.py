"""SageMaker for the local cloud: training jobs that train, endpoints that serve, model packages."""
