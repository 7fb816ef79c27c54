"""The one error with which a training ends in words."""


class TrainingError(Exception):
    """The training cannot go on; the message says what is wrong with its input, as the failure reason."""
