import json

from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import FakeStack


def test_a_new_worker_can_sign_in_with_the_password_that_is_shown(loupe: Loupe, stack: FakeStack) -> None:
    made = json.loads(loupe("worker", "create", "mara", "--json").stdout)
    assert stack.sign_in("mara", made["password"])
    assert "mara" in loupe("worker", "list").stdout


def test_a_given_password_is_not_printed(loupe: Loupe, stack: FakeStack) -> None:
    assert "s3cret" not in loupe("worker", "create", "mara", "--password", "s3cret-s3cret").stdout
    assert stack.passwords["mara"] == "s3cret-s3cret"


def test_a_worker_becomes_a_releaser_and_is_none_any_more(loupe: Loupe, stack: FakeStack) -> None:
    loupe("worker", "create", "mara", "--role", "releaser")
    assert stack.roles["mara"] == "releaser"
    loupe("worker", "create", "mara")
    assert stack.roles["mara"] == "releaser"
    listed = json.loads(loupe("worker", "list", "--json").stdout)["workers"]
    assert [each["role"] for each in listed if each["worker"] == "mara"] == ["releaser"]
    assert "is a worker from the next sign-in on" in loupe("worker", "role", "mara", "worker").stdout
    assert dict(stack.roles) == {"mara": "worker"}
    assert "There is no worker 'ben'" in loupe("worker", "role", "ben", "releaser", exit_code=1).stderr


def test_open_prints_the_address_of_the_project(loupe: Loupe, project: str) -> None:
    told = loupe("open", project, "--print").stdout
    assert told.strip() == "http://loupe.test/portal/index.html#/projects/parts"
    loupe("open", "part", "--print", exit_code=1)


def test_reconcile_tells_what_it_found(loupe: Loupe, stack: FakeStack, project: str) -> None:
    told = loupe("reconcile").stdout
    assert "2 images registered" in told
    assert "jobs finished" not in told
    loupe("reconcile", project, "--json")
    assert stack.reconciled == [None, "parts"]
