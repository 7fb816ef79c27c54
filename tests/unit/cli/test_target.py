from pathlib import Path

import pytest

from cli.aws_stack import AwsStack
from cli.errors import CommandFault
from cli.target import WantedStack, connect
from local.launcher import LocalCloudStatus

NOTHING = WantedStack(stack=None, local=None, profile=None, region=None)


def cloud(home: Path, running: bool) -> LocalCloudStatus:
    environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    return LocalCloudStatus(
        home,
        running=running,
        port=4704 if running else None,
        pid=1 if running else None,
        endpoint_url="http://127.0.0.1:4704" if running else None,
        log=home / "log",
        environment=environment if running else {},
    )


@pytest.fixture(autouse=True)
def _no_aws_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)


def is_local(wanted: WantedStack, home: Path, running: bool = True) -> bool:
    stack = connect(wanted, home, lambda home: cloud(home, running)).stack
    assert isinstance(stack, AwsStack)
    return stack.endpoint_url is not None


def test_a_local_cloud_that_runs_is_taken(tmp_path: Path) -> None:
    assert is_local(NOTHING, tmp_path)
    assert is_local(WantedStack("loupe", None, None, None), tmp_path)


@pytest.mark.parametrize(
    "wanted", [WantedStack("loupe-prod", None, None, None), WantedStack(None, False, None, None)]
)
def test_unless_the_user_points_elsewhere(wanted: WantedStack, tmp_path: Path) -> None:
    assert not is_local(wanted, tmp_path)


def test_or_the_environment_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere.test")
    assert not is_local(NOTHING, tmp_path)


def test_without_a_local_cloud_it_is_aws(tmp_path: Path) -> None:
    assert not is_local(NOTHING, tmp_path, running=False)
    with pytest.raises(CommandFault, match="No local cloud runs"):
        is_local(WantedStack(None, True, None, None), tmp_path, running=False)


def test_says_which_it_is_where_both_could_be_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_local(NOTHING, tmp_path)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    assert is_local(NOTHING, tmp_path)
    assert "Using the local cloud" in capsys.readouterr().err


def test_an_unknown_profile_is_a_fault_in_words(tmp_path: Path) -> None:
    with pytest.raises(CommandFault, match="nobody"):
        connect(WantedStack(None, None, "nobody", None), tmp_path, lambda home: cloud(home, False))
