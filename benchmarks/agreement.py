"""Labels that simulated workers agree on: Loupe's consolidation, the majority's, and that of crowd-kit.

Each of 1,000 images is labeled by 3 of 12 workers, with 10 labels; skills are spread from 0.6 to 0.95. Either
a worker who is wrong says any other label, or he mostly confuses each label with a certain other one. The
figures are means over ten draws. crowd-kit (1.4.2) is asked where it is installed; it is no dependency of
Loupe's.
"""

import importlib
import importlib.util
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from loupe.domain.label_values import Box, Boxes, OneLabel
from loupe.domain.labeling.agreement import jury
from loupe.domain.labeling.box_groups import overlap
from loupe.ports.labeling import Answer

IMAGES, LABELS, WORKERS, WORKERS_PER_IMAGE, DRAWS = 1_000, 10, 12, 3, 10
LEAST, MOST = 0.6, 0.95
CONFUSED = 0.7
"""Share of a worker's mistakes in which he confuses a label with the one that he always does."""
_AT = datetime(2026, 11, 21, tzinfo=UTC)
_NAMES = [f"label {number}" for number in range(LABELS)]

Votes = dict[int, int]
"""Label by worker, of one image."""
Method = Callable[[Sequence[Votes]], list[int]]


def run() -> Iterator[tuple[str, str, str]]:
    """Rows (what, measured, target)."""
    methods: dict[str, Method] = {"Loupe": ours, "majority": majority}
    if importlib.util.find_spec("crowdkit") is not None:
        methods |= {
            "crowd-kit's Dawid-Skene": crowd_kit("DawidSkene"),
            "its one-coin": crowd_kit("OneCoinDawidSkene"),
        }
    for what, confused in (("mistakes at random", 0.0), ("labels confused with each other", CONFUSED)):
        draws = [_draw(seed, confused) for seed in range(DRAWS)]
        found = {name: _accuracy(method, draws) for name, method in methods.items()}
        others = ", ".join(f"{name} {100 * value:.2f} %" for name, value in found.items() if name != "Loupe")
        note = "" if len(methods) > 2 else "; pip install crowd-kit==1.4.2 to compare"
        what = f"accuracy of {IMAGES:,} labels of {WORKERS_PER_IMAGE} workers, {what}"
        yield what, f"{100 * found['Loupe']:.2f} %", others + note
    _, votes = _draw(0, 0.0)
    started = time.process_time()
    ours(votes)
    yield f"consolidation of {IMAGES:,} images", f"{time.process_time() - started:.2f} s of processor", ""
    many = [votes for seed in range(100) for votes in _draw(seed, 0.0)[1]]
    started = time.process_time()
    ours(many)
    yield f"… of {len(many):,} images", f"{time.process_time() - started:.1f} s of processor", ""
    alone, averaged = _boxes()
    yield (
        "boxes of 3 workers, mean overlap with the true ones",
        f"{averaged:.3f}",
        f"one worker's: {alone:.3f}",
    )


def _draw(seed: int, confused: float) -> tuple[list[int], list[Votes]]:
    """True labels, and what workers say."""
    chance = random.Random(seed)  # noqa: S311 - a simulation
    skills = [LEAST + (MOST - LEAST) * number / (WORKERS - 1) for number in range(WORKERS)]
    truth = [chance.randrange(LABELS) for _ in range(IMAGES)]

    def say(worker: int, true: int) -> int:
        if chance.random() < skills[worker]:
            return true
        if chance.random() < confused:
            return (true + 1 + worker % 3) % LABELS
        return chance.choice([label for label in range(LABELS) if label != true])

    said = [
        {worker: say(worker, true) for worker in chance.sample(range(WORKERS), WORKERS_PER_IMAGE)}
        for true in truth
    ]
    return truth, said


def _accuracy(method: Method, draws: Sequence[tuple[list[int], list[Votes]]]) -> float:
    right = sum(
        found == true for truth, said in draws for found, true in zip(method(said), truth, strict=True)
    )
    return right / (len(draws) * IMAGES)


# Methods --------------------------------------------------------------------------------------------


def ours(said: Sequence[Votes]) -> list[int]:
    """What `consolidate_annotations` concludes."""
    answers = [
        [Answer(f"{worker:02d}", "", _AT, OneLabel(_NAMES[label])) for worker, label in votes.items()]
        for votes in said
    ]
    heard = jury("image-classification", _NAMES)
    for each in answers:
        heard.hear(each)
    values = [heard.conclude(each, (1, 1)).value for each in answers]
    return [_NAMES.index(value.label) if isinstance(value, OneLabel) else -1 for value in values]


def majority(said: Sequence[Votes]) -> list[int]:
    """The label with most votes; of several, one by lot."""
    chance = random.Random(0)  # noqa: S311 - a simulation
    found = []
    for votes in said:
        counts = Counter(votes.values())
        most = max(counts.values())
        found.append(chance.choice([label for label, count in counts.items() if count == most]))
    return found


def crowd_kit(name: str) -> Method:
    """A published implementation, as it is by default but for the number of rounds, which is ours."""

    def method(said: Sequence[Votes]) -> list[int]:
        pandas = importlib.import_module("pandas")
        aggregation = importlib.import_module("crowdkit.aggregation")
        rows = [(image, worker, label) for image, votes in enumerate(said) for worker, label in votes.items()]
        frame = pandas.DataFrame(rows, columns=["task", "worker", "label"])
        labels = getattr(aggregation, name)(n_iter=50).fit_predict(frame)
        return [int(labels[image]) for image in range(len(said))]

    return method


# Boxes ----------------------------------------------------------------------------------------------


def _boxes() -> tuple[float, float]:
    """Mean overlap with the true box: of one worker's, and of what three amount to."""
    chance = random.Random(1)  # noqa: S311 - a simulation
    precision = [2.0, 4.0, 8.0]
    truth = [Box("bolt", chance.uniform(20, 400), chance.uniform(20, 300), 60, 45) for _ in range(300)]
    images = []
    for box in truth:
        sides = (box.left, box.top, box.width, box.height)
        drawn = [Box("bolt", *(side + chance.gauss(0, pixels) for side in sides)) for pixels in precision]
        images.append([Answer(f"{n}", "", _AT, Boxes((each,))) for n, each in enumerate(drawn)])
    heard = jury("bounding-box", ["bolt"])
    for answers in images:
        heard.hear(answers)
    alone, averaged = [], []
    for box, answers in zip(truth, images, strict=True):
        alone += [
            overlap(box, answer.value.boxes[0]) for answer in answers if isinstance(answer.value, Boxes)
        ]
        found = heard.conclude(answers, (640, 480)).value
        averaged.append(overlap(box, found.boxes[0]) if isinstance(found, Boxes) and found.boxes else 0.0)
    return sum(alone) / len(alone), sum(averaged) / len(averaged)
