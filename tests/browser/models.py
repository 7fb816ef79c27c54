"""Models as the console's API tells of them, for tests of its pages and for pictures."""

from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw

from loupe.domain.console.judgements import Judgements
from loupe.domain.projects import TaskType
from tests.browser.portal_stub import Json, Page, PortalStub, as_png

LABELS = ["bolt", "<b>nut</b>", "washer"]
PROJECT = "parts"
CHAMPION, NEWEST = "0001", "0002"


def summary(version: str, **fields: Any) -> Json:
    return {
        "version": version,
        "dataset_version": version,
        "task": "image-classification",
        "trainer": "script",
        "hosting": "serverless",
        "measure": "accuracy",
        "started_at": "2026-11-21T12:00:00+00:00",
        "ended_at": "2026-11-21T12:02:30+00:00",
        "is_champion": version == CHAMPION,
        "outcome": "promoted",
        "reason": "accuracy 0.9000 on 60 test images; it is the first model",
        "score": 0.9,
        "champion_score": None,
        "release_failed": None,
        "compared_with": None,
        "choices": [],
        **fields,
    }


def standing(**fields: Any) -> Json:
    """What the API tells of releases with each answer about models, to somebody who may decide."""
    return {
        "champion": CHAMPION,
        "releasing": None,
        "promotion_paused": None,
        "may_release": True,
        **fields,
    }


def listed(*models: Json, **fields: Any) -> Json:
    """All models of a project, newest first."""
    return {"models": list(models), "more": 0, "waiting_for": None, **standing(**fields)}


REJECTED = summary(
    NEWEST,
    outcome="rejected",
    reason="accuracy 0.8833 on 60 test images; the champion 0001 has 0.9000 on the same images",
    score=0.8833,
    champion_score=0.9,
    compared_with=CHAMPION,
    choices=["rollback"],
)
WAITING = summary(
    NEWEST,
    outcome="awaiting_approval",
    reason="accuracy 0.9333 on 60 test images; the champion 0001 has 0.9000 on the same images",
    score=0.9333,
    champion_score=0.9,
    compared_with=CHAMPION,
    choices=["approve", "reject"],
)


def metrics(f1: float) -> Json:
    per_label = {
        label: {"precision": f1, "recall": f1 - 0.01 * number, "f1": f1, "support": 20}
        for number, label in enumerate(LABELS)
    }
    return {"score": f1, "accuracy": f1, "macro_f1": f1, "per_label": per_label}


def answers() -> list[Json]:
    """A line of predictions.jsonl for each of 60 test images."""
    lines = []
    for number in range(60):
        truth = LABELS[number % 3]
        mistaken = number % 8 == 0
        predicted = LABELS[(number + 1) % 3] if mistaken else truth
        lines.append({"label": truth, "predicted": predicted, "confidence": 0.4 + (number * 7 % 60) / 100})
    return lines


def judged(task: TaskType, lines: list[Json], labels: Sequence[str] = LABELS) -> Json:
    judgements = Judgements(task, labels)
    for line in lines:
        judgements.add(line)
    return {
        "task": task,
        "images": judgements.images,
        "confusion": judgements.confusion(),
        "curves": judgements.curves(),
    }


def model(found: Json, **fields: Any) -> Json:
    training = {
        "epochs": 12,
        "best_epoch": 9,
        "seconds": 41.2,
        "device": "cpu",
        "images": {"train": 280, "validation": 60, "test": 60},
        "image_size": 64,
        "hyperparameters": {"seed": 0, "backbone": "resnet-small"},
        "history": [
            {"number": epoch, "train_loss": 2 / epoch, "validation_loss": 2.2 / epoch}
            for epoch in range(1, 13)
        ],
    }
    return {
        **found,
        "labels": LABELS,
        "requested": {"instance_type": "ml.g5.xlarge", "hyperparameters": {}},
        "evaluation": {
            "test_images": 60,
            "left_out": {},
            "candidate": metrics(found["score"]),
            "champion": metrics(0.9) if found["champion_score"] else None,
            "training": training,
        },
        "answers": {"known": True, "reason": None},
        "report_url": "https://workspace.invalid/report.html",
        **standing(),
        **fields,
    }


def picture(number: int) -> bytes:
    """A plain picture of 64 by 48 pixels with a rectangle in it."""
    image = Image.new("RGB", (64, 48), (200, 205, 215))
    ImageDraw.Draw(image).rectangle((8, 8, 30, 30), fill=(60 + number * 9 % 150, 80, 120))
    return as_png(image)


def judged_image(portal: PortalStub, number: int, line: Json, **fields: Any) -> Json:
    name = f"{PROJECT}/image {number}.png"
    portal.files[name] = picture(number)
    return {
        "sha256": f"{number:064x}",
        "name": name,
        "url": f"{portal.cloud_url}images/{name}",
        "thumbnail": f"{portal.cloud_url}images/{name}",
        "width": 64,
        "height": 48,
        "truth": {"label": line["label"]} if "label" in line else {"boxes": line["boxes"]},
        "predicted": line["predicted"],
        "confidence": line.get("confidence"),
        **fields,
    }


def constant(answer: Json) -> Page:
    """Answers the same to each call."""
    return lambda _query, _body: answer


def serve_models(portal: PortalStub) -> None:
    """Answers the calls of the pages about models with two versions of a classifier."""
    base = f"projects/{PROJECT}/models"
    lines = answers()
    models = {CHAMPION: model(summary(CHAMPION)), NEWEST: model(REJECTED)}
    portal.pages["GET", base] = constant(
        listed(REJECTED, summary(CHAMPION), waiting_for="3 of 20 new labels")
    )
    for version, found in models.items():
        portal.pages["GET", f"{base}/{version}"] = constant(found)
        portal.pages["GET", f"{base}/{version}/judgements"] = lambda _query, _body: judged(
            "image-classification", lines
        )
        portal.pages["GET", f"{base}/{version}/images"] = lambda query, _body: behind(portal, lines, query)


def behind(portal: PortalStub, lines: list[Json], query: dict[str, str]) -> Json:
    found = [
        (number, line)
        for number, line in enumerate(lines)
        if (line["label"], line["predicted"]) == (query.get("truth"), query.get("predicted"))
    ]
    after = int(query.get("after", 0))
    shown = found[after : after + 2]
    return {
        "task": "image-classification",
        "labels": LABELS,
        "dataset_version": NEWEST,
        "total": len(found),
        "images": [judged_image(portal, number, line) for number, line in shown],
        "next": after + 2 if after + 2 < len(found) else None,
    }
