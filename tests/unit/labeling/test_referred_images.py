"""Images of other buckets at the portal: they come there when a review finds their imported labels wrong."""

import pytest

from tests.unit.labeling.conftest import ADA, PROJECT, Loop

FOLDER = "s3://archive/2026//parts"


@pytest.fixture
def referring(loop: Loop) -> Loop:
    """A job of an image in the project's folder, and two in another bucket."""
    loop.register(1)
    loop.register(2, folder=FOLDER)
    loop.start(PROJECT)
    return loop


def test_manifests_and_annotations_name_them_where_they_are(referring: Loop) -> None:
    job = referring.open_job().job
    places = ["s3://raw-data/digits/im age 0.png", *(f"{FOLDER}/im age {number}.png" for number in (1, 2))]
    assert [row["source-ref"] for row in referring.input_rows(job)] == places
    referring.answer_all()
    referring.consolidate(PROJECT, job)
    assert [row["source-ref"] for row in referring.output_rows(job)] == places


def test_workers_see_them_where_they_are(referring: Loop) -> None:
    shown = referring.portal.lease(PROJECT, ADA, 3).tasks
    hosts = [leased.url.partition(".invalid/")[0] for leased in shown]
    assert hosts == ["https://raw-data", "https://archive", "https://archive"]
    assert "/2026//parts/im%20age%201.png?versionId=v1" in shown[1].url


def test_answers_to_them_outlive_the_index(referring: Loop) -> None:
    job = referring.open_job().job
    referring.answer_all(label="dent")
    referring.lose_index()
    referring.configure()
    assert referring.restore(PROJECT, job)
    assert [task.key for task in referring.tasks.tasks(job)][1:] == [
        f"{FOLDER}/im age {number}.png" for number in (1, 2)
    ]
    assert all(task.answer is not None for task in referring.tasks.tasks(job))
    assert not referring.restore(PROJECT, job)
