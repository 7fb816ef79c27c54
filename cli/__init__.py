"""The `loupe` command: one thin layer of words over a stack, on AWS or in the local cloud."""
