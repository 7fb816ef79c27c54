"""A dataset version as a page for people: what it has, by label, size and job, and what changed.

The page stands for itself: it loads nothing from anywhere, and reads and prints without a network. What it
tells of single images is counted while the version's rows are written, so that no row is read for it alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from html import escape

from loupe.domain.datasets.measures import BOXES_AN_IMAGE, Measures, size_range
from loupe.domain.datasets.splits import SPLITS, Split
from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.errors import NotFound, ObjectMissing
from loupe.domain.label_attributes import Label, read_label
from loupe.domain.manifests import HEIGHT, WIDTH, read_rows
from loupe.domain.projects import LABEL_ATTRIBUTES
from loupe.domain.workspace import Workspace
from loupe.ports.objects import StoresObjects

_STYLE = """
:root { color-scheme: light dark; --page: #f5f6f8; --surface: #fff; --text: #16191f; --muted: #59616e;
  --line: #dde1e8; --train: #3352cc; --validation: #b35c00; --test: #17713f; }
@media (prefers-color-scheme: dark) { :root { --page: #0f1115; --surface: #181b21; --text: #eceef2;
  --muted: #a0a8b6; --line: #2a2f39; --train: #9db2ff; --validation: #ffb86b; --test: #7fd6a2; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 32px 20px 56px; background: var(--page); color: var(--text);
  font: 400 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  overflow-wrap: anywhere; }
main { max-width: 960px; margin: 0 auto; display: grid; gap: 20px; grid-template-columns: minmax(0, 1fr); }
h1, h2, p, dl, dd { margin: 0; }
h1 { font-size: 1.625rem; line-height: 1.2; } h2 { font-size: 1.125rem; margin-bottom: 12px; }
.muted { color: var(--muted); }
section { padding: 20px; border: 1px solid var(--line); border-radius: 16px; background: var(--surface); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 12px 20px; }
dt { color: var(--muted); font-size: .8125rem; } dd { font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; } dl + *, .wide + p { margin-top: 12px; }
table { width: 100%; border-collapse: collapse; font-size: .9375rem; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; border-bottom: 1px solid var(--line); text-align: start; }
thead th { color: var(--muted); font-size: .8125rem; font-weight: 550; }
tbody th { font-weight: 550; min-width: 96px; }
td.bars { width: 45%; min-width: 140px; }
svg { display: block; width: 100%; height: 14px; }
.train { fill: var(--train); } .validation { fill: var(--validation); } .test { fill: var(--test); }
.key { display: flex; flex-wrap: wrap; gap: 4px 20px; margin-bottom: 8px; font-size: .875rem; }
.key svg { display: inline-block; width: 14px; vertical-align: -2px; }
@media print { body { padding: 0; background: none; } section { break-inside: avoid; border-radius: 0; }
  .wide { overflow: visible; } svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

Bars = Sequence[tuple[Split, int]]


def report_of(store: StoresObjects, project: str, version: str) -> bytes:
    """The report of a version that was written without one. Raises `NotFound` for a version that there is
    not, or that was never finished."""
    names = Workspace(project)
    try:
        card = DatasetCard.from_json(store.read(names.dataset_card(version)))
    except ObjectMissing as error:
        raise NotFound(f"project {project!r} has no dataset version {version!r}") from error
    previous = None
    if card.previous_version is not None:
        with suppress(ObjectMissing):
            previous = DatasetCard.from_json(store.read(names.dataset_card(card.previous_version)))
    measures = Measures()
    for split in SPLITS:
        for row in read_rows(store.lines(names.split(version, split))):
            label = read_label(row, LABEL_ATTRIBUTES[card.task], card.task, card.labels)
            if isinstance(label, Label):
                size = (row[WIDTH], row[HEIGHT]) if WIDTH in row and HEIGHT in row else None
                measures.add(split, label, size)
    return report(project, card, previous, measures)


def report(project: str, card: DatasetCard, previous: DatasetCard | None, measures: Measures) -> bytes:
    """The page, UTF-8. `previous` is the card of `card.previous_version`, if that is there."""
    title = f"{project}: dataset version {card.version}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _overview(card, measures),
        _labels(card),
        _boxes(card, measures),
        _sizes(measures),
        _jobs(card, measures),
        _left_out(card),
        _changes(card, previous),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Whatever a label or a key may hold, the page loads and runs nothing.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, parts))
        + "\n</main>\n</body>\n</html>\n"
    ).encode()


# Parts ----------------------------------------------------------------------------------------------


def _overview(card: DatasetCard, measures: Measures) -> str:
    total = sum(card.images.values())
    facts = {
        "Task": card.task,
        "Made": f"{card.created_at:%Y-%m-%d %H:%M} UTC",
        "Images": f"{total:,}",
        **{split.capitalize(): f"{card.images[split]:,}" for split in SPLITS},
        "Labels that are new": f"{card.new_labels:,}",
        "Labeled by no person": f"{measures.by_model:,}",
    }
    return _section("What it has", _facts(facts), f'<p class="muted">Split: {escape(card.split_rule)}.</p>')


def _labels(card: DatasetCard) -> str:
    rows = [(label, [(split, card.counts[split].get(label, 0)) for split in SPLITS]) for label in card.labels]
    if any(card.without.values()):
        rows.append(("none of them", [(split, card.without[split]) for split in SPLITS]))
    return _section("Images by label", _by_split(rows))


def _boxes(card: DatasetCard, measures: Measures) -> str:
    if card.task != "bounding-box":
        return ""
    rows = [(label, [(split, measures.boxes[split, label]) for split in SPLITS]) for label in card.labels]
    per_image = [(name, measures.boxes_an_image[first]) for first, name in BOXES_AN_IMAGE]
    return (
        _section("Boxes by label", _by_split(rows))
        + _section("Boxes an image", _histogram("boxes", "images", per_image))
        + _section("Longer sides of boxes", _histogram("pixels", "boxes", _powers(measures.box_sides)))
    )


def _sizes(measures: Measures) -> str:
    facts = {name.capitalize(): f"{number:,}" for name, number in sorted(measures.shapes.items())}
    if measures.smallest and measures.largest:
        facts["Smallest"] = _size(measures.smallest)
        facts["Largest"] = _size(measures.largest)
    longer = _histogram("longer side", "images", _powers(measures.longer_sides))
    return _section("Dimensions of images", _facts(facts), longer)


def _jobs(card: DatasetCard, measures: Measures) -> str:
    rows = [(job, measures.jobs[job]) for job in card.jobs]
    note = '<p class="muted">Of several labels of an image the newest counts.</p>'
    return _section("Labels by job", _histogram("job", "images", rows), note)


def _left_out(card: DatasetCard) -> str:
    if not card.left_out:
        return _section("Left out", "<p>No labeled image was left out.</p>")
    return _section("Left out", _histogram("reason", "images", list(card.left_out.items())))


def _changes(card: DatasetCard, previous: DatasetCard | None) -> str:
    if previous is None:
        why = (
            "This is the first version."
            if card.previous_version is None
            else f"Version {card.previous_version} is not there any more to compare with."
        )
        return _section("What changed", f"<p>{escape(why)}</p>")
    added = [job for job in card.jobs if job not in set(previous.jobs)]
    facts = {
        "Images": _difference(sum(card.images.values()), sum(previous.images.values())),
        **{split.capitalize(): _difference(card.images[split], previous.images[split]) for split in SPLITS},
        "New jobs": f"{len(added):,}",
    }
    names = [*card.labels, *(label for label in previous.labels if label not in card.labels)]
    rows = [
        (
            label,
            [_difference(_count(card, split, label), _count(previous, split, label)) for split in SPLITS],
        )
        for label in names
    ]
    changed = [row for row in rows if any(change != "±0" for change in row[1])]
    told = [
        f"<p>Label {kind}: {', '.join(escape(label) for label in listed)}.</p>"
        for kind, listed in (
            ("added", [label for label in card.labels if label not in previous.labels]),
            ("given up", [label for label in previous.labels if label not in card.labels]),
        )
        if listed
    ]
    body = "".join(
        _row(label, [f"<td>{escape(change)}</td>" for change in changes]) for label, changes in changed
    )
    table = _table(["label", *SPLITS], body) if changed else "<p>No label has more or fewer images.</p>"
    return _section(f"What changed since version {previous.version}", _facts(facts), *told, table)


# Pieces ---------------------------------------------------------------------------------------------


def _section(title: str, *content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{''.join(content)}\n</section>"


def _facts(facts: Mapping[str, str]) -> str:
    items = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    return f"<dl>{''.join(items)}</dl>"


def _table(head: Iterable[str], body: str) -> str:
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def _row(name: str, cells: Iterable[str]) -> str:
    return f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>\n'


def _by_split(rows: Sequence[tuple[str, Bars]]) -> str:
    most = max((sum(number for _, number in bars) for _, bars in rows), default=0)
    body = "".join(
        _row(
            label,
            [*(f"<td>{number:,}</td>" for _, number in bars), f'<td class="bars">{_bar(bars, most)}</td>'],
        )
        for label, bars in rows
    )
    key = "".join(
        f'<span><svg viewBox="0 0 1 1" aria-hidden="true"><rect class="{split}" width="1" height="1"/></svg> '
        f"{split}</span>"
        for split in SPLITS
    )
    return f'<p class="key">{key}</p>' + _table(["label", *SPLITS, ""], body)


def _histogram(what: str, counted: str, rows: Sequence[tuple[str, int]]) -> str:
    most = max((number for _, number in rows), default=0)
    body = "".join(
        _row(name, [f"<td>{number:,}</td>", f'<td class="bars">{_bar([("train", number)], most)}</td>'])
        for name, number in rows
    )
    return _table([what, counted, ""], body)


def _bar(bars: Bars, most: int) -> str:
    """The numbers beside each other, as wide as they are of `most`; they stand in words in the row."""
    pieces, left = [], 0.0
    for split, number in bars:
        width = 100 * number / (most or 1)
        pieces.append(f'<rect class="{split}" x="{left:.2f}" width="{width:.2f}" height="1"/>')
        left += width
    drawn = "".join(pieces)
    return f'<svg viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'


def _powers(counts: Mapping[int, int]) -> list[tuple[str, int]]:
    if not counts:
        return []
    return [(size_range(power), counts.get(power, 0)) for power in range(min(counts), max(counts) + 1)]


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]:,} by {size[1]:,} px"


def _count(card: DatasetCard, split: Split, label: str) -> int:
    return card.counts[split].get(label, 0)


def _difference(now: int, before: int) -> str:
    change = now - before
    return "±0" if change == 0 else f"+{change:,}" if change > 0 else f"\N{MINUS SIGN}{-change:,}"
