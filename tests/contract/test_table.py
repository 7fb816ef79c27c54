"""The table's operations against DynamoDB as moto has it."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from loupe.adapters.table import Action, Check, ConditionFailed, Delete, IndexTable, Put, Update
from loupe.domain.errors import StoreUnavailable


def item(pk: str, sk: str, **more: Any) -> dict[str, Any]:
    return {"pk": pk, "sk": sk, **more}


def put(table: IndexTable, *items: dict[str, Any]) -> None:
    for each in items:
        table.put(each)


def test_items_come_back_as_they_were_put(index_table: IndexTable) -> None:
    kept = item(
        "p", "s", text="é\n", whole=-7, large=10**30, fraction=0.1, tiny=1e-7, flag=True, nothing=None,
        raw=b"\0", names={"a", "b"}, rows=[1, {"x": []}], empty="",
    )  # fmt: skip
    index_table.put(kept)
    assert index_table.get("p", "s") == kept
    assert index_table.get("p", "other") is None


def test_a_value_that_has_no_form_in_the_index_is_refused(index_table: IndexTable) -> None:
    with pytest.raises(TypeError, match="object"):
        index_table.put(item("p", "s", what=object()))


def test_a_put_whose_condition_fails_changes_nothing(index_table: IndexTable) -> None:
    index_table.put(item("p", "s", n=1))
    with pytest.raises(ConditionFailed):
        index_table.put(item("p", "s", n=2), condition="attribute_not_exists(#pk)")
    assert index_table.get("p", "s") == item("p", "s", n=1)


def test_an_update_returns_the_item_as_it_is_then(index_table: IndexTable) -> None:
    assert index_table.update("p", "s", "ADD #n :by", {"by": 2}) == item("p", "s", n=2)
    changed = index_table.update(
        "p", "s", "SET #state = :to REMOVE #n", {"to": "open", "n": 2}, condition="#n = :n"
    )
    assert changed == item("p", "s", state="open")
    with pytest.raises(ConditionFailed):
        index_table.update("p", "s", "SET #state = :to", {"to": "shut", "n": 2}, condition="#n = :n")


def test_a_delete_returns_what_was_there(index_table: IndexTable) -> None:
    index_table.put(item("p", "s", n=1))
    with pytest.raises(ConditionFailed):
        index_table.delete("p", "s", "#n = :n", {"n": 5})
    assert index_table.delete("p", "s") == item("p", "s", n=1)
    assert index_table.delete("p", "s") is None


def test_query_reads_pages_in_order_up_to_its_limit(index_table: IndexTable) -> None:
    put(index_table, *(item("p", f"{n:03}") for n in range(60)), item("q", "000"))
    found = [each["sk"] for each in index_table.query("p", limit=25, page_size=10)]
    assert found == [f"{n:03}" for n in range(25)]
    assert len(list(index_table.query("p", page_size=7))) == 60
    assert [each["sk"] for each in index_table.query("p", descending=True, limit=2)] == ["059", "058"]
    assert list(index_table.query("p", limit=0)) == []


def test_query_narrows_by_sort_key(index_table: IndexTable) -> None:
    put(index_table, *(item("p", sk) for sk in ("a#1", "a#2", "b#1")))
    assert [each["sk"] for each in index_table.query("p", begins_with="a#")] == ["a#1", "a#2"]
    assert [each["sk"] for each in index_table.query("p", above="a#2")] == ["b#1"]
    assert [each["sk"] for each in index_table.query("p", at_most="a#2")] == ["a#1", "a#2"]
    with pytest.raises(ValueError, match="above and at_most"):
        list(index_table.query("p", above="a", at_most="b"))


def test_query_of_an_index_sees_only_items_with_its_keys(index_table: IndexTable) -> None:
    index_table.put(item("p", "1", gsi1pk="open", gsi1sk="b"))
    index_table.put(item("p", "2", gsi1pk="open", gsi1sk="a"))
    index_table.put(item("p", "3"))
    assert [each["sk"] for each in index_table.query("open", index="gsi1")] == ["2", "1"]


def test_batches_may_be_larger_than_a_request(index_table: IndexTable) -> None:
    put(index_table, *(item("p", str(n)) for n in range(230)))
    keys = [("p", str(n)) for n in range(260)]
    assert len(list(index_table.batch_get([*keys, *keys]))) == 230


def test_a_transaction_does_all_or_nothing_and_names_the_conditions_that_failed(
    index_table: IndexTable,
) -> None:
    index_table.put(item("p", "there", n=1))
    actions: list[Action] = [
        Put(item("p", "new"), condition="attribute_not_exists(#pk)"),
        Put(item("p", "there"), condition="attribute_not_exists(#pk)"),
        Update("p", "counter", "ADD #n :by", {"by": 1}),
        Check("p", "missing", "attribute_exists(#pk)"),
    ]
    assert index_table.transact(actions) == {1, 3}
    assert index_table.get("p", "new") is None
    assert index_table.get("p", "counter") is None
    assert index_table.transact([actions[0], actions[2], Delete("p", "there", "#n = :n", {"n": 1})]) == set()
    assert [each["sk"] for each in index_table.query("p")] == ["counter", "new"]


class FlakyClient:
    """A client whose calls raise `errors` first and then answer."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> dict[str, Any]:
            self.calls += 1
            if self.errors:
                raise self.errors.pop(0)
            return {}

        return call


def client_error(code: str, *reasons: str) -> ClientError:
    response: Any = {"Error": {"Code": code}, "CancellationReasons": [{"Code": each} for each in reasons]}
    return ClientError(response, "operation")


def flaky_table(*errors: Exception) -> tuple[IndexTable, FlakyClient, list[float]]:
    client: Any = FlakyClient(*errors)
    pauses: list[float] = []
    return IndexTable(client, "index", sleep=pauses.append, jitter=lambda: 1.0), client, pauses


def test_throttling_and_conflicts_are_retried_with_growing_pauses() -> None:
    conflict = client_error("TransactionCanceledException", "None", "TransactionConflict")
    table, client, pauses = flaky_table(conflict, client_error("ThrottlingException"))
    assert table.transact([Delete("p", "s")]) == set()
    assert client.calls == 3
    assert pauses == [0.025, 0.05]


def test_a_table_that_stays_busy_is_reported() -> None:
    table, _, _ = flaky_table(*[client_error("ThrottlingException")] * 50)
    with pytest.raises(StoreUnavailable, match="stayed busy"):
        table.get("p", "s")


def test_a_table_that_cannot_be_reached_is_reported() -> None:
    table, _, _ = flaky_table(EndpointConnectionError(endpoint_url="https://dynamodb"))
    with pytest.raises(StoreUnavailable, match="could not be reached"):
        table.get("p", "s")


def test_a_fault_that_no_retry_mends_is_raised_as_it_is() -> None:
    table, client, _ = flaky_table(client_error("AccessDeniedException"))
    with pytest.raises(ClientError, match="AccessDenied"):
        table.get("p", "s")
    assert client.calls == 1
