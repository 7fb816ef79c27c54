"""Dependencies point inward: functions → loupe.bootstrap → adapters → domain."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ALLOWED = {"local/sagemaker/workforce.py": {"loupe"}}
"""The local Ground Truth has images labeled by people at the portal, which is Loupe's: one module hands them
over and fetches the answers, so that the rest of the local cloud knows nothing of what runs in it."""

AWS = {"boto3", "botocore", "mypy_boto3_s3", "aws_lambda_powertools"}


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports, `from a import b` as both `a` and `a.b`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def below(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


@pytest.mark.parametrize(
    ("files", "forbidden"),
    [
        ("layers/core/loupe/domain/**/*.py", AWS | {"loupe.adapters", "loupe.bootstrap", "loupe.settings"}),
        ("layers/core/loupe/ports/*.py", AWS | {"loupe.adapters", "loupe.bootstrap", "loupe.settings"}),
        ("layers/core/loupe/adapters/*.py", {"loupe.bootstrap", "loupe.settings"}),
        ("layers/core/loupe/**/*.py", {"trainer", "cli", "local", "functions"}),
        (
            "functions/**/*.py",
            {"boto3", "botocore", "loupe.adapters", "trainer", "cli", "local"},
        ),
        ("trainer/**/*.py", AWS | {"loupe", "cli", "local"}),
        ("local/**/*.py", {"loupe", "cli", "trainer"}),
    ],
)
def test_what_is_inside_knows_nothing_of_what_is_outside(root: Path, files: str, forbidden: set[str]) -> None:
    paths = sorted(root.glob(files))
    assert paths, f"nothing matches {files}"
    found = [
        f"{path.relative_to(root)} imports {module}"
        for path in paths
        for module in imports(path)
        if below(module, forbidden - ALLOWED.get(path.relative_to(root).as_posix(), set()))
    ]
    assert found == []


def test_each_handler_is_short(root: Path) -> None:
    """A handler parses, makes one call and maps the result."""
    for path in root.glob("functions/*/handler.py"):
        assert len(path.read_text().splitlines()) <= 120, path
