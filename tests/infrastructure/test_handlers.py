"""All handlers log, and reach their use cases, in one way."""

from pathlib import Path

import pytest

HANDLERS = sorted((Path(__file__).parents[2] / "functions").glob("*/handler.py"))


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.parent.name)
def test_log_lines_name_the_function_and_the_request(path: Path) -> None:
    """`RestApi` does so by itself, with the request id of API Gateway."""
    code, name = path.read_text(), path.parent.name
    if f'api = http.RestApi("{name}")\n' not in code:
        assert f'logger = Logger(service="{name}")\n' in code
        assert "@logged(logger)\ndef handler(" in code


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.parent.name)
def test_use_cases_are_called_by_their_module(path: Path) -> None:
    """So that a handler may name what it makes like the function that makes it."""
    assert "from loupe.bootstrap import" not in path.read_text()
