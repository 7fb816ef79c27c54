"""The local cloud: the stack of template.yaml on one machine, without Docker and without an AWS account."""
