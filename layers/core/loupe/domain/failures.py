"""Failures that Step Functions caught, in words."""

import json
from collections.abc import Mapping

from loupe.domain.custom_labels.codes import advice


def explain(failure: Mapping[str, str]) -> str:
    """The reason in an error that Step Functions caught, in words, and how to mend it where Rekognition names
    it by a code.

    The cause of a failed job is its description, that of a failed function its error, both as JSON; it may be
    cut off.
    """
    reason = _reason(failure)
    mend = advice(reason)
    is_told = mend is None or mend.partition(": ")[2] in reason
    return reason if is_told else f"{reason} ({mend})"


def _reason(failure: Mapping[str, str]) -> str:
    cause = failure.get("Cause") or ""
    try:
        document = json.loads(cause)
    except ValueError:
        document = None
    if isinstance(document, dict):
        for name in ("FailureReason", "errorMessage", "message"):
            if isinstance(document.get(name), str) and document[name]:
                return str(document[name])
    error = failure.get("Error") or "an unknown error"
    if error == "States.Timeout":
        return cause or "a step took longer than it may"
    return cause or error
