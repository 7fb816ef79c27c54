"""The pages of web/ as API Gateway gets them."""

from pathlib import Path

import pytest

from loupe.domain.errors import NotFound
from loupe.pages import CONTENT_TYPES, content_security_policy, find_page

WEB = Path(__file__).parents[3] / "web"


@pytest.mark.parametrize("path", sorted(str(p.relative_to(WEB)) for p in WEB.rglob("*") if p.is_file()))
def test_every_file_of_web_is_served_as_what_it_is(path: str) -> None:
    page = find_page(path)
    assert page.content == (WEB / path).read_text()
    assert page.content_type == CONTENT_TYPES[Path(path).suffix]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nothing.html",
        "../pyproject.toml",
        "core/../../README.md",
        "/etc/passwd",
        "core",
        ".hidden",
        "%2e%2e/x.js",
    ],
)
def test_nothing_else_is_served(path: str) -> None:
    with pytest.raises(NotFound):
        find_page(path)


def test_the_policy_names_the_origins_of_images_and_of_the_sign_in_only() -> None:
    buckets = ["https://raw.s3.eu-west-1.amazonaws.com", "https://workspace.s3.eu-west-1.amazonaws.com"]
    policy = content_security_policy(buckets, "https://idp.example/path/")
    assert f"img-src 'self' {buckets[0]} {buckets[1]};" in policy
    assert "connect-src 'self' https://idp.example;" in policy
    assert "unsafe" not in policy


def test_the_policy_names_the_origins_of_buckets_that_are_referred_to() -> None:
    raw, sign_in = "https://raw.s3.eu-west-1.amazonaws.com", "https://idp.example/"
    policy = content_security_policy([raw], sign_in, ["archive"])
    assert f"img-src 'self' {raw} https://archive.s3.eu-west-1.amazonaws.com;" in policy
    one_for_all = content_security_policy(["http://cloud.invalid:4566"], sign_in, ["archive"])
    assert "img-src 'self' http://cloud.invalid:4566;" in one_for_all
