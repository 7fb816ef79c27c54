"""Dataset versions as the console shows them."""

import json
from typing import Any

import pytest

from loupe.domain.datasets.galleries import Galleries, Wanted
from loupe.domain.datasets.mistakes import read_verdicts
from loupe.domain.errors import BadRequest, NotFound, ProjectNotFound
from loupe.domain.label_values import Box, Boxes, InvalidLabel, SeveralLabels
from loupe.domain.manifests import write_rows
from loupe.ports.loops import Champion, ServedModel
from tests.unit.console.console import console, two_labels
from tests.unit.training.world import NAMES, PROJECT, World


def shown(found: dict[str, Any]) -> list[str]:
    return [image["sha256"] for image in found["images"]]


def ask(
    world: World, version: str = "0001", offset: int = 0, limit: int = 60, **wanted: Any
) -> dict[str, Any]:
    return console(world).images(PROJECT, version, Wanted(**wanted), offset, limit)


def promote(world: World, version: str, predictions: list[dict[str, Any]]) -> None:
    """Make a model the champion that answered its test images so."""
    model = ServedModel("serverless", "script", "image-classification", ("a", "b"), "loupe-digits")
    world.loops.save_champion(PROJECT, Champion(version, 0.9, model, None, None, world.clock()))
    world.workspace.write_lines(NAMES.predictions(version), write_rows(predictions))


def test_an_image_tells_what_the_version_knows_of_it() -> None:
    world = World()
    a, _ = two_labels(world)
    world.build()
    image = next(each for each in ask(world)["images"] if each["sha256"] == a[0])
    assert image["name"] == "digits/a0.png"
    assert (image["width"], image["height"]) == (64, 64)
    assert image["label"] == "a"
    assert image["split"] == world.split("0001")[a[0]]
    assert image["job"] == "digits-20260101t000000-aaaa"
    assert image["human"] is True
    assert image["thumbnail"].startswith(
        f"https://workspace.invalid/projects/digits/previews/thumbnail/{a[0]}.webp"
    )


def test_pages_follow_each_other_through_all_images() -> None:
    world = World()
    a, b = two_labels(world)
    world.build()
    pages = [ask(world, offset=offset, limit=5) for offset in (0, 5, 10)]
    assert [page["total"] for page in pages] == [12, 12, 12]
    seen = [sha256 for page in pages for sha256 in shown(page)]
    assert len(seen) == 12
    assert set(seen) == {*a, *b}
    assert shown(ask(world, offset=40)) == []


def test_images_are_found_by_label_split_and_job() -> None:
    world = World()
    a, b = two_labels(world)
    world.build()
    splits = world.split("0001")
    assert set(shown(ask(world, label="b"))) == set(b)
    assert set(shown(ask(world, split="test"))) == {sha for sha, split in splits.items() if split == "test"}
    assert set(shown(ask(world, job="digits-20260101t000000-aaaa"))) == set(a)
    both = ask(world, label="a", split="train")
    assert set(shown(both)) == {sha for sha in a if splits[sha] == "train"}
    assert ask(world, job="digits-other")["total"] == 0


def test_a_label_that_the_version_does_not_have_is_refused() -> None:
    world = World()
    two_labels(world)
    world.build()
    with pytest.raises(BadRequest, match="'c' is not a label of version 0001"):
        ask(world, label="c")


def edit_labels(world: World, job: str, **members: Any) -> None:
    """What a job of several workers, or of a model, leaves in its label file."""
    key = NAMES.labels(job)
    lines = [json.loads(line) | members for line in world.workspace.lines(key)]
    world.workspace.write_lines(key, write_rows(lines))


def accepted(world: World) -> tuple[list[str], list[str]]:
    """Two jobs whose labels are accepted, and no version yet."""
    world.configure(labels=("a", "b"), training={"min_new_labels": 1000})
    found = two_labels(world)
    world.build()
    world.configure(labels=("a", "b"))
    return found


def test_images_are_found_by_worker_and_disagreement() -> None:
    world = World()
    a, b = accepted(world)
    edit_labels(world, "digits-20260101t000000-aaaa", workers=["ann", "ben"], agreement=0.5)
    edit_labels(world, "digits-20260102t000000-bbbb", workers=["ann"], agreement=1.0)
    world.build()
    assert set(shown(ask(world, worker="ann"))) == {*a, *b}
    assert set(shown(ask(world, worker="ben"))) == set(a)
    assert set(shown(ask(world, disagreement=True))) == set(a)
    told = console(world).version(PROJECT, "0001")
    assert told["workers"] == ["ann", "ben"]
    assert told["disagreements"] == 6
    assert ask(world, worker="ben")["images"][0]["agreement"] == 0.5


def test_images_are_found_and_ordered_by_confidence_and_by_who_labeled() -> None:
    world = World()
    a, b = accepted(world)
    edit_labels(world, "digits-20260101t000000-aaaa", confidences=[0.95], human=False)
    edit_labels(world, "digits-20260102t000000-bbbb", confidences=[0.6])
    world.build()
    assert set(shown(ask(world, confidence=(0.9, 1.0)))) == set(a)
    assert set(shown(ask(world, confidence=(0.0, 0.6)))) == set(b)
    assert set(shown(ask(world, human=False))) == set(a)
    assert set(shown(ask(world, human=True))) == set(b)
    assert set(shown(ask(world, order="confidence"))[:6]) == set(b)
    assert set(shown(ask(world, order="newest"))[:6]) == set(b)


def test_of_several_labels_each_finds_the_image_and_none_is_found_too() -> None:
    world = World()
    world.configure(task="multi-label-classification", labels=("a", "b"))
    digests = [world.upload(f"{number}.png") for number in range(12)]
    said = [("a",), ("a", "b"), ("b",), ()]
    world.finish("digits-1", {sha: SeveralLabels(said[at % 4]) for at, sha in enumerate(digests)})
    world.build()
    assert set(shown(ask(world, label="a"))) == {sha for at, sha in enumerate(digests) if at % 4 in (0, 1)}
    assert set(shown(ask(world, label=""))) == {sha for at, sha in enumerate(digests) if at % 4 == 3}
    statistics = console(world).version(PROJECT, "0001")["statistics"]
    assert statistics["parts_an_image"] == {"0": 3, "1": 6, "2": 3}


def test_sizes_of_boxes_and_images_are_counted() -> None:
    world = World()
    world.configure(task="bounding-box", labels=("a",))
    boxes = Boxes((Box("a", 0, 0, 8, 8), Box("a", 0, 0, 40, 40)))
    sizes = [(64, 64), (128, 64)]
    digests = [world.upload(f"{number}.png", size=sizes[number % 2]) for number in range(6)]
    world.finish("digits-1", dict.fromkeys(digests, boxes))
    world.build()
    statistics = console(world).version(PROJECT, "0001")["statistics"]
    counted = {(size["from"], size["to"]): size["boxes"] for size in statistics["box_sizes"]}
    assert counted[0, 16] == 6
    assert counted[32, 64] == 6
    assert sum(counted.values()) == 12
    assert {(each["width"], each["height"], each["images"]) for each in statistics["dimensions"]} == {
        (64, 64, 3),
        (128, 64, 3),
    }
    assert statistics["widths"] == [64, 128]


def test_a_label_that_the_champion_firmly_contradicts_is_a_likely_mistake() -> None:
    world = World()
    a, b = two_labels(world)
    world.build()
    predictions = [
        {"source-ref": "s3://raw/x", "image-sha256": a[0], "label": "a", "predicted": "b", "confidence": 0.9},
        {
            "source-ref": "s3://raw/x",
            "image-sha256": a[1],
            "label": "a",
            "predicted": "b",
            "confidence": 0.97,
        },
        {"source-ref": "s3://raw/x", "image-sha256": a[2], "label": "a", "predicted": "b", "confidence": 0.6},
        {"source-ref": "s3://raw/x", "image-sha256": b[0], "label": "b", "predicted": "b", "confidence": 1.0},
    ]
    promote(world, "0001", predictions)
    found = ask(world, mistakes=True)
    assert shown(found) == [a[1], a[0]]
    assert found["images"][0]["champion"] == {
        "version": "0001",
        "label": "b",
        "confidences": [0.97],
        "disagreement": 0.97,
        "about": ("b",),
    }
    told = console(world).version(PROJECT, "0001")
    assert (told["mistakes"], told["judged"], told["champion"]) == (2, 4, "0001")


@pytest.mark.parametrize(("least", "said"), [(0.0, [0.9, 0.1]), (0.2, [0.9])])
def test_boxes_that_a_model_hardly_believes_in_are_not_its_answer(least: float, said: list[float]) -> None:
    box = {"left": 0, "top": 0, "width": 9, "height": 9}
    predicted = [{"label": "a", "confidence": confidence, "box": box} for confidence in (0.9, 0.1)]
    line = {"source-ref": "s3://raw/x", "image-sha256": "ab" * 32, "boxes": [], "predicted": predicted}
    verdicts = read_verdicts("0001", "bounding-box", [json.dumps(line)], least)
    [verdict] = verdicts.by_image.values()
    assert verdict.answer["confidences"] == said
    assert len(verdict.answer["boxes"]) == len(said)


def test_a_label_that_has_changed_since_the_champion_saw_it_is_no_mistake() -> None:
    world = World()
    a, _ = two_labels(world)
    world.build()
    row = {
        "source-ref": "s3://raw/x",
        "image-sha256": a[0],
        "label": "a",
        "predicted": "b",
        "confidence": 0.9,
    }
    promote(world, "0001", [row])
    world.finish("digits-20260103t000000-cccc", {a[0]: "b"}, provider="import")
    world.build()
    assert shown(ask(world, "0001", mistakes=True)) == [a[0]]
    assert shown(ask(world, "0002", mistakes=True)) == []


def test_a_champion_of_another_task_says_nothing_of_the_images() -> None:
    world = World()
    a, _ = two_labels(world)
    world.build()
    several = {"source-ref": "s3://raw/x", "image-sha256": a[0], "labels": ["a"], "predicted": ["b"]}
    model = ServedModel("serverless", "script", "multi-label-classification", ("a", "b"), "loupe-digits")
    world.loops.save_champion(PROJECT, Champion("0001", 0.9, model, None, None, world.clock()))
    world.workspace.write_lines(NAMES.predictions("0001"), write_rows([several]))
    shows = console(world)
    told = shows.version(PROJECT, "0001")
    assert (told["mistakes"], told["judged"], told["champion"]) == (0, 0, "0001")
    assert len(shown(ask(world))) == 12
    assert "champion" not in shows.image(PROJECT, "0001", a[0])


def test_what_a_model_said_is_read_for_each_task_by_itself() -> None:
    world = World()
    galleries = Galleries(world.workspace, world.raw.bucket)
    row = {"image-sha256": "00" * 32, "label": "a", "predicted": "b", "confidence": 0.9}
    world.workspace.write_lines(NAMES.predictions("0001"), write_rows([row]))
    assert galleries.verdicts(PROJECT, "0001", "image-classification").by_image
    with pytest.raises(InvalidLabel):
        galleries.verdicts(PROJECT, "0001", "bounding-box")


def test_versions_are_compared() -> None:
    world = World()
    a, b = two_labels(world)
    world.build()
    new = world.label("digits-20260103t000000-cccc", "a", ["new0.png", "new1.png"])
    world.finish("digits-20260104t000000-dddd", {b[0]: "a"}, provider="import")
    world.raw.delete("digits/a0.png")
    world.build()
    changes = console(world).changes(PROJECT, "0002", "0001")["changes"]
    assert changes["added"] == 2
    assert changes["removed"] == 1
    assert changes["relabeled"] == 1
    assert set(shown(ask(world, "0002", since="0001", change="added"))) == set(new)
    gone = ask(world, "0002", since="0001", change="removed")
    assert shown(gone) == [a[0]]
    assert gone["version"] == "0001"
    (relabeled,) = ask(world, "0002", since="0001", change="relabeled")["images"]
    assert relabeled["sha256"] == b[0]
    assert (relabeled["before"]["label"], relabeled["label"]) == ("b", "a")
    moved = ask(world, "0002", since="0001", change="moved")
    assert moved["total"] == changes["moved"]


def test_a_change_needs_a_version_to_compare_with() -> None:
    world = World()
    two_labels(world)
    world.build()
    with pytest.raises(BadRequest, match="since and change go together"):
        ask(world, change="added")


def test_a_version_from_before_there_were_galleries_is_shown_alike() -> None:
    world = World()
    two_labels(world)
    world.build()
    before = ask(world)
    kept = world.workspace.read(NAMES.gallery_index("0001"))
    world.workspace.delete(NAMES.gallery_rows("0001"))
    world.workspace.delete(NAMES.gallery_index("0001"))
    assert ask(world) == before
    assert world.workspace.read(NAMES.gallery_index("0001")) == kept


def test_what_is_not_there_is_not_found() -> None:
    world = World()
    two_labels(world)
    world.build()
    with pytest.raises(NotFound, match="no dataset version '0007'"):
        ask(world, "0007")
    with pytest.raises(NotFound, match="has no image"):
        console(world).image(PROJECT, "0001", "0" * 64)
    with pytest.raises(BadRequest, match="64 hexadecimal digits"):
        console(world).image(PROJECT, "0001", "abc")
    with pytest.raises(ProjectNotFound):
        console(world).versions("other")


def test_versions_are_listed_newest_first() -> None:
    world = World()
    two_labels(world)
    world.build()
    world.label("digits-20260103t000000-cccc", "a", ["new.png"])
    world.build()
    told = console(world).versions(PROJECT)
    assert [each["version"] for each in told["versions"]] == ["0002", "0001"]
    assert [each["images"] for each in told["versions"]] == [13, 12]
    assert told["labels"] == ("a", "b")


def test_a_project_without_versions_has_none() -> None:
    told = console(World()).versions(PROJECT)
    assert (told["versions"], told["corrected_images"]) == ([], 0)
