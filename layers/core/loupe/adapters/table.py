"""The index: one DynamoDB table with string keys `pk`, `sk` and the sparse indexes `gsi1` and `gsi2`.

Items are plain Python: text, whole and fractional numbers, booleans, None, bytes, lists, mappings and
non-empty sets of text. A fractional number without fraction (2.0) comes back as a whole one.

In every expression `#name` stands for the attribute `name`, and `:name` for `values["name"]`, so that no
expression has to care about DynamoDB's reserved words:

    table.update(pk, sk, "SET #state = :to", {"to": "open", "from": "preparing"}, condition="#state = :from")
"""

import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from loupe.domain.batches import batches
from loupe.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
Key = tuple[str, str]
"""pk and sk."""
Values = Mapping[str, Any]
Index = Literal["gsi1", "gsi2"]
T = TypeVar("T")

MAX_TRANSACTION = 100
"""Most actions in one `transact`."""
_MAX_BATCH_GET = 100
_ATTEMPTS = 9
_FIRST_PAUSE, _LONGEST_PAUSE = 0.025, 2.0
_NAME = re.compile(r"#(\w+)")
_VALUE = re.compile(r":(\w+)")
_BUSY = {
    "InternalServerError",
    "ItemCollectionSizeLimitExceededException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
}
_BUSY_REASONS = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


class ConditionFailed(Exception):
    """The item is not (any more) in the state that a write required; nothing was written."""


class _Busy(Exception):
    """DynamoDB asks to come again."""


# Actions of a transaction -------------------------------------------------------------------------


@dataclass(frozen=True)
class Put:
    """Write the whole item."""

    item: Item
    condition: str | None = None
    values: Values = field(default_factory=dict)

    def request(self, table: str) -> dict[str, Any]:
        expressions = _expressions(self.values, ConditionExpression=self.condition)
        return {"Put": {"TableName": table, "Item": to_attributes(self.item), **expressions}}


@dataclass(frozen=True)
class Update:
    """Change attributes of the item, which comes into being if there is none and `condition` allows it."""

    pk: str
    sk: str
    change: str
    values: Values = field(default_factory=dict)
    condition: str | None = None

    def request(self, table: str) -> dict[str, Any]:
        expressions = _expressions(
            self.values, UpdateExpression=self.change, ConditionExpression=self.condition
        )
        return {"Update": {"TableName": table, "Key": _key(self.pk, self.sk), **expressions}}


@dataclass(frozen=True)
class Delete:
    """Remove the item; not an error if there is none and `condition` allows it."""

    pk: str
    sk: str
    condition: str | None = None
    values: Values = field(default_factory=dict)

    def request(self, table: str) -> dict[str, Any]:
        expressions = _expressions(self.values, ConditionExpression=self.condition)
        return {"Delete": {"TableName": table, "Key": _key(self.pk, self.sk), **expressions}}


@dataclass(frozen=True)
class Check:
    """Change nothing; only require `condition`."""

    pk: str
    sk: str
    condition: str
    values: Values = field(default_factory=dict)

    def request(self, table: str) -> dict[str, Any]:
        expressions = _expressions(self.values, ConditionExpression=self.condition)
        return {"ConditionCheck": {"TableName": table, "Key": _key(self.pk, self.sk), **expressions}}


Action = Put | Update | Delete | Check


class IndexTable:
    """The table's operations. Throttling and conflicts between transactions are retried with jitter;
    what stays busy, and what can't be reached, raises `StoreUnavailable`."""

    def __init__(
        self,
        client: "DynamoDBClient",
        name: str,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._client = client
        self._sleep = sleep
        self._jitter = jitter

    # One item ---------------------------------------------------------------------------------------

    def get(self, pk: str, sk: str) -> Item | None:
        """The item as last written (strongly consistent)."""
        answer = self._patiently(
            self._client.get_item, TableName=self.name, Key=_key(pk, sk), ConsistentRead=True
        )
        attributes = answer.get("Item")
        return from_attributes(attributes) if attributes else None

    def put(self, item: Item, condition: str | None = None, values: Values | None = None) -> None:
        """Write the whole item. Raises `ConditionFailed`."""
        request = Put(item, condition, values or {}).request(self.name)["Put"]
        self._patiently(self._client.put_item, **request)

    def update(
        self, pk: str, sk: str, change: str, values: Values | None = None, condition: str | None = None
    ) -> Item:
        """Change attributes and return the item as it is then. Raises `ConditionFailed`."""
        request = Update(pk, sk, change, values or {}, condition).request(self.name)["Update"]
        answer = self._patiently(self._client.update_item, **request, ReturnValues="ALL_NEW")
        return from_attributes(answer["Attributes"])

    def delete(
        self, pk: str, sk: str, condition: str | None = None, values: Values | None = None
    ) -> Item | None:
        """Remove the item and return what it was; None if there was none. Raises `ConditionFailed`."""
        request = Delete(pk, sk, condition, values or {}).request(self.name)["Delete"]
        answer = self._patiently(self._client.delete_item, **request, ReturnValues="ALL_OLD")
        attributes = answer.get("Attributes")
        return from_attributes(attributes) if attributes else None

    # Many items -------------------------------------------------------------------------------------

    def query(
        self,
        pk: str,
        *,
        index: Index | None = None,
        begins_with: str | None = None,
        above: str | None = None,
        at_most: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> Iterator[Item]:
        """Items with that pk in the order of their sk, read page by page as they are asked for.

        With `index`, pk and sk are the index's own. At most one of `begins_with`, `above` (exclusive) and
        `at_most` (inclusive) narrows the sk. The table is read consistently; an index is a little behind.
        """
        prefix = index or ""
        condition, values = "#pk = :pk", {"pk": pk}
        bounds = {"begins_with": begins_with, "above": above, "at_most": at_most}
        given = {bound: value for bound, value in bounds.items() if value is not None}
        if len(given) > 1:
            raise ValueError(f"one bound at a time, not {' and '.join(given)}")
        for bound, value in given.items():
            condition += " AND " + _SORT_KEY_CONDITIONS[bound]
            values["sk"] = value
        request: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": {"#pk": f"{prefix}pk"} | ({"#sk": f"{prefix}sk"} if given else {}),
            "ExpressionAttributeValues": _values(values),
            "ScanIndexForward": not descending,
        }
        if index:
            request["IndexName"] = index
        else:
            request["ConsistentRead"] = True
        return self._pages(request, limit, page_size)

    def _pages(self, request: dict[str, Any], limit: int | None, page_size: int | None) -> Iterator[Item]:
        left = limit
        while left is None or left > 0:
            sizes = [size for size in (left, page_size) if size is not None]
            page = {**request, "Limit": min(sizes)} if sizes else request
            answer = self._patiently(self._client.query, **page)
            for attributes in answer["Items"]:
                yield from_attributes(attributes)
            if "LastEvaluatedKey" not in answer:
                return
            request = {**request, "ExclusiveStartKey": answer["LastEvaluatedKey"]}
            left = None if left is None else left - len(answer["Items"])

    def batch_get(self, keys: Iterable[Key]) -> Iterator[Item]:
        """Those of the items that exist, in no particular order, as last written. Any number of keys."""
        for batch in batches(dict.fromkeys(keys), _MAX_BATCH_GET):
            todo: Sequence[Any] = [_key(pk, sk) for pk, sk in batch]
            for attempt in self._attempts():
                request = {self.name: {"Keys": todo, "ConsistentRead": True}}
                answer = self._patiently(self._client.batch_get_item, RequestItems=request)
                for attributes in answer["Responses"][self.name]:
                    yield from_attributes(attributes)
                unprocessed = answer.get("UnprocessedKeys", {})
                todo = unprocessed[self.name]["Keys"] if self.name in unprocessed else []
                if not todo:
                    break
                self._pause(attempt)

    def transact(self, actions: Sequence[Action]) -> frozenset[int]:
        """Do all actions (at most 100, each on another item) or none.

        Returns the positions of the actions whose condition failed, in which case nothing was written;
        empty when all is done.
        """
        requests: Any = [action.request(self.name) for action in actions]
        try:
            self._patiently(self._client.transact_write_items, TransactItems=requests)
        except _Cancelled as error:
            return error.failed
        return frozenset()

    # Patience ---------------------------------------------------------------------------------------

    def _patiently(self, call: Callable[..., T], **request: Any) -> T:
        for attempt in self._attempts():
            try:
                return _translated(call, request)
            except _Busy:
                self._pause(attempt)
        raise AssertionError("attempts end in StoreUnavailable")

    def _attempts(self) -> Iterator[int]:
        yield from range(_ATTEMPTS)
        raise StoreUnavailable(f"The table {self.name} stayed busy; try again in a moment")

    def _pause(self, attempt: int) -> None:
        self._sleep(self._jitter() * min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE))


_SORT_KEY_CONDITIONS = {
    "begins_with": "begins_with(#sk, :sk)",
    "above": "#sk > :sk",
    "at_most": "#sk <= :sk",
}


class _Cancelled(Exception):
    """A transaction was cancelled since conditions failed."""

    def __init__(self, failed: frozenset[int]) -> None:
        super().__init__(failed)
        self.failed = failed


def _translated(call: Callable[..., T], request: Mapping[str, Any]) -> T:
    try:
        return call(**request)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ConditionalCheckFailedException":
            raise ConditionFailed from error
        if code == "TransactionCanceledException":
            reasons = [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]
            failed = [at for at, reason in enumerate(reasons) if reason == "ConditionalCheckFailed"]
            if failed:
                raise _Cancelled(frozenset(failed)) from error
            if _BUSY_REASONS.intersection(reasons):
                raise _Busy from error
        if code in _BUSY:
            raise _Busy from error
        raise
    except BotoCoreError as error:
        raise StoreUnavailable(f"DynamoDB could not be reached: {error}") from error


# Plain Python <-> DynamoDB's attribute values -----------------------------------------------------


def to_attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    """DynamoDB's form of an item."""
    return {name: _to_value(value) for name, value in item.items()}


def from_attributes(attributes: Mapping[str, Any]) -> Item:
    """An item from DynamoDB's form."""
    return {name: _from_value(value) for name, value in attributes.items()}


def _to_value(value: Any) -> dict[str, Any]:
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | float():
            return {"N": repr(value)}
        case bytes():
            return {"B": value}
        case set() | frozenset():
            return {"SS": sorted(value)}
        case list() | tuple():
            return {"L": [_to_value(each) for each in value]}
        case Mapping():
            return {"M": {name: _to_value(each) for name, each in value.items()}}
        case _:
            raise TypeError(f"{type(value).__name__} can't be kept in the index")


def _from_value(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    match kind:
        case "S" | "BOOL" | "B":
            return content
        case "N":
            return float(content) if set(content) & set(".eE") else int(content)
        case "NULL":
            return None
        case "SS":
            return set(content)
        case "L":
            return [_from_value(each) for each in content]
        case "M":
            return from_attributes(content)
        case _:
            raise TypeError(f"the index keeps no values of DynamoDB's type {kind}")


def _key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _values(values: Values) -> dict[str, Any]:
    return {f":{name}": _to_value(value) for name, value in values.items()}


def _expressions(values: Values, **expressions: str | None) -> dict[str, Any]:
    """The expressions that are there, with exactly the names and values that they mention."""
    request: dict[str, Any] = {name: text for name, text in expressions.items() if text}
    text = " ".join(request.values())
    if names := set(_NAME.findall(text)):
        request["ExpressionAttributeNames"] = {f"#{name}": name for name in sorted(names)}
    if mentioned := set(_VALUE.findall(text)):
        request["ExpressionAttributeValues"] = _values({name: values[name] for name in sorted(mentioned)})
    return request
