"""Lines of manifests and label files."""

import pytest

from loupe.domain.manifests import InvalidManifest, Row, read_rows, write_rows


def test_rows_come_back_as_they_were_written() -> None:
    rows: list[Row] = [
        {"source-ref": "s3://raw/ä b.png", "boxes": {"left": 2.5, "width": 1e-7}, "note": "\n\u2028"},
        {"source-ref": "s3://raw/c.png", "label": 1, "metadata": {"confidences": [0.1, 1.0], "none": None}},
    ]
    lines = list(write_rows(rows))
    assert [line.count("\n") for line in lines] == [1, 1]
    assert lines[1] == (
        '{"source-ref":"s3://raw/c.png","label":1,"metadata":{"confidences":[0.1,1.0],"none":null}}\n'
    )
    assert list(read_rows(lines)) == rows


def test_blank_lines_and_windows_ends_are_accepted() -> None:
    rows = read_rows(['{"source-ref": "s3://raw/a.png"}\r\n', "\n", ' {"source-ref": "s3://raw/b.png"}'])
    assert [row["source-ref"] for row in rows] == ["s3://raw/a.png", "s3://raw/b.png"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{'source-ref': 's3://raw/a.png'}", "line 2 is not JSON"),
        ('{"source-ref": "s3://raw/a.png", "score": NaN}', "line 2 is not JSON"),
        ('{"source-ref": "s3://raw/\\ud800.png"}', "line 2 is not JSON"),
        ('{"source-ref": "s3://raw/a.png"', "line 2 is not JSON"),
        ('{"source": "s3://raw/a.png"}', "line 2 is not an object with a source-ref"),
        ("[]", "line 2 is not an object with a source-ref"),
    ],
)
def test_a_line_that_is_no_row_is_named(line: str, what: str) -> None:
    with pytest.raises(InvalidManifest, match=what):
        list(read_rows(['{"source-ref": "s3://raw/a.png"}', line]))
