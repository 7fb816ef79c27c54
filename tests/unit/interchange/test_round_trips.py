"""Reading what was written gives the same labels, for each format and each task that it can hold."""

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from loupe.domain.interchange import FORMATS
from loupe.domain.interchange.names import Names
from loupe.domain.interchange.records import Exported, NotInFormat
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.projects import TaskType
from tests.unit.interchange.folder import dataset, exported, read, written

HELD = [
    (name, task, with_images)
    for name, format_ in FORMATS.items()
    for task in format_.tasks
    for with_images in (True, False)
    # YOLO's classification is the folders that images lie in.
    if with_images or (name, task) != ("yolo", "image-classification")
]


def labels_of(characters: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    names = st.text(characters, min_size=1, max_size=20).filter(str.strip)
    return st.lists(names, min_size=2, max_size=5, unique=True).map(tuple)


ANY_LABELS = labels_of(st.characters(exclude_categories=["Cs"]))
PRINTABLE_LABELS = labels_of(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\.", include_characters=" ")
)
PARTS = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=12)
KEYS = st.one_of(
    st.lists(PARTS, min_size=1, max_size=3).map("/".join),
    st.sampled_from(
        ["a.jpg", "A.jpg", "a.png", "b/a.jpg", "b/a.png", "images/a.jpg", "../a.jpg", "b//a.jpg"]
    ),
    st.builds("{}/{}.jpg".format, PARTS, PARTS),
)
SIZES = st.tuples(st.integers(8, 20_000), st.integers(8, 20_000))


def printable(key: str) -> str:
    return "".join(character if character.isprintable() else "_" for character in key)


@st.composite
def boxes(draw: st.DrawFn, labels: tuple[str, ...], size: tuple[int, int]) -> Boxes:
    """Whole pixels, as Ground Truth has them, or hundredths."""
    found = []
    for _ in range(draw(st.integers(0, 4))):
        divisor = draw(st.sampled_from([1, 100]))
        sides = []
        for limit in size:
            start = draw(st.integers(0, limit * divisor - 1))
            length = draw(st.integers(1, limit * divisor - start))
            sides.append((start // divisor, length) if divisor == 1 else (start / divisor, length / divisor))
        (left, width), (top, height) = sides
        assume(left + width <= size[0] and top + height <= size[1])
        found.append(Box(draw(st.sampled_from(labels)), left, top, width, height))
    return Boxes(tuple(found))


@st.composite
def versions(
    draw: st.DrawFn,
    task: TaskType,
    possible_labels: st.SearchStrategy[tuple[str, ...]],
    keys: st.SearchStrategy[str],
) -> tuple[tuple[str, ...], list[Exported]]:
    labels = draw(possible_labels)
    images = []
    for key in draw(st.lists(keys, min_size=1, max_size=6, unique=True)):
        size = draw(SIZES)
        value: LabelValue
        match task:
            case "image-classification":
                value = OneLabel(draw(st.sampled_from(labels)))
            case "multi-label-classification":
                value = SeveralLabels(tuple(draw(st.lists(st.sampled_from(labels), unique=True))))
            case "bounding-box":
                value = draw(boxes(labels, size))
        images.append(exported(key, value, size, labels, task))
    return labels, images


@pytest.mark.parametrize(("name", "task", "with_images"), HELD)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_reading_what_was_written_gives_the_same_labels(
    name: str, task: TaskType, with_images: bool, data: st.DataObject
) -> None:
    is_narrow = name == "voc" or (name, task) == ("yolo", "image-classification")
    keys = KEYS.map(printable) if name == "voc" and not with_images else KEYS
    labels, images = data.draw(versions(task, PRINTABLE_LABELS if is_narrow else ANY_LABELS, keys))
    files = written(name, dataset(task, labels, images, with_images=with_images))
    found, findings = read(name, task, files)
    assert findings.fault_count == 0, findings.faults
    assert not findings.left_out
    sizes = {image.sha256: image.size for image in images}
    paths = Names(files)
    digests = {image.source: image.sha256 for image in images}
    came_back = {}
    for labeled in found:
        place = paths.find(labeled.image) if with_images and name != "manifest" else None
        content = files[place] if place else digests[labeled.source or labeled.image]
        digest = content.decode() if isinstance(content, bytes) else content
        size = sizes[digest]
        assert size is not None
        came_back[digest] = labeled.in_pixels(size)
    assert came_back == {image.sha256: image.value for image in images}


@pytest.mark.parametrize("name", ["yolo", "voc"])
def test_what_a_format_cannot_hold_is_refused_by_name(name: str) -> None:
    with pytest.raises(NotInFormat, match="use manifest, coco or csv"):
        FORMATS[name].check("multi-label-classification")
