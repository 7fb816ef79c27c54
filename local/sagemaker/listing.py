"""The List operations: filters, order and pages, the same for every kind of resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.sagemaker.errors import ValidationError

Document = Mapping[str, Any]

_PAGE = 10


def page(
    documents: Sequence[Document],
    parameters: Mapping[str, Any],
    *,
    result: str,
    name: str,
    status: str,
    summarize: Callable[[Document], dict[str, Any]],
    created: str = "CreationTime",
) -> dict[str, Any]:
    """One page of the documents that `parameters` ask for, newest first unless told otherwise.

    `name`, `status` and `created` are the members that NameContains, SortBy and StatusEquals look at.
    """
    wanted = [document for document in documents if _matches(document, parameters, name, status, created)]
    by = {"Name": name, "Status": status}.get(parameters.get("SortBy", ""), created)
    wanted.sort(key=lambda document: document[by], reverse=parameters.get("SortOrder") != "Ascending")
    start = _start(parameters.get("NextToken"))
    end = start + int(parameters.get("MaxResults", _PAGE))
    found: dict[str, Any] = {result: [summarize(document) for document in wanted[start:end]]}
    if end < len(wanted):
        found["NextToken"] = str(end)
    return found


def _start(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isdecimal():
        raise ValidationError("The NextToken is not valid.")
    return int(token)


def _matches(
    document: Document, parameters: Mapping[str, Any], name: str, status: str, created_at: str
) -> bool:
    created, modified = document[created_at], document.get("LastModifiedTime", document[created_at])
    return (
        parameters.get("NameContains", "") in document[name]
        and parameters.get("StatusEquals", document.get(status)) == document.get(status)
        and parameters.get("CreationTimeAfter", created) <= created
        and parameters.get("CreationTimeBefore", created) >= created
        and parameters.get("LastModifiedTimeAfter", modified) <= modified
        and parameters.get("LastModifiedTimeBefore", modified) >= modified
    )
