"""Which members the log lines of the functions have: docs/logs.md promises them."""

import importlib
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools import Logger
from samcli.yamlhelper import yaml_parse

from loupe import bootstrap
from loupe.domain.errors import ModelError
from loupe.domain.images.registration import BatchOutcome, Found
from loupe.domain.labeling.annotation import Work
from loupe.domain.labeling.review import ReviewStarted
from loupe.domain.serving.prediction import Prediction
from loupe.domain.serving.releases import ReleaseBegun
from loupe.domain.training.plans import TrainingPlan
from loupe.domain.training.retries import Retry
from loupe.domain.training.turns import TurnBegun
from loupe.logs import log_of as log_for_use_cases
from loupe.logs import logged
from loupe.ports.labeling import LabelingJob
from tests.fakes.clock import FakeClock
from tests.fakes.lambda_context import FakeLambdaContext
from tests.fakes.log import Line, log_of

ROOT = Path(__file__).parents[2]
JOB = "parts-20261121t101500-1a2b"
SHA256 = "0123456789abcdef" * 4
STATE = {"project": "parts", "version": "0001", "execution": "arn:turn", "correlation_id": JOB}
DETAIL = {"detail-type": "AnnotationsCompleted", "detail": {"project": "parts", "job": JOB}}
PLAN = TrainingPlan(
    *("parts", "0001", "0001", "arn:turn", "2026-11-21T10:15:00+00:00", "image-classification", ("a", "b")),
    *("script", "serverless", "loupe-parts-0001", "s3://workspace/evaluation.json", []),
    correlation_id=JOB,
)
DECISION = SimpleNamespace(promote=True, reason="better", score=0.9, champion_score=None)
REVIEW = ReviewStarted("parts", JOB, "0001", 5, 0)
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "build_dataset": (
        {"project": "parts", "execution": "arn:turn"},
        TurnBegun("built", "0001", correlation_id=JOB),
    ),
    "plan_training": ({**STATE, "dataset_version": "0001"}, PLAN),
    "evaluate_candidate": ({**STATE, "transform_failures": {}}, DECISION),
    "measure_custom_labels": ({**STATE, "summary": "key"}, 0.9),
    "smoke_test_endpoint": (STATE, 3),
    "retry_training": ({**STATE, "job": "loupe-parts-0001", "failure": {}}, Retry(False, "it broke")),
    "conclude_training": (
        {"project": "parts", "execution": "arn:turn", "outcome": "failed", "correlation_id": JOB},
        "no disk",
    ),
    "consolidate_annotations": (DETAIL, None),
    "notify_people": (DETAIL, None),
    "conclude_labeling_job": ({"resources": [f"arn:aws:sagemaker:::labeling-job/{JOB}"]}, "finished"),
    "start_review": ({"project": "parts"} | dict.fromkeys(("version", "label", "limit", "kind")), REVIEW),
}
"""By function, an event and what its use case answers."""


def run(function: str, event: dict[str, Any]) -> list[Line]:
    """The lines of one invocation; what the handler raises is passed over."""
    handler = importlib.import_module(f"{function}.handler").handler
    with log_of(function) as lines:
        with suppress(ZeroDivisionError):
            handler(event, FakeLambdaContext())
        return lines()


def about(lines: list[Line]) -> list[tuple[Any, Any]]:
    return [(line.get("project"), line.get("correlation_id")) for line in lines]


@pytest.mark.parametrize("function", CASES)
def test_the_line_of_an_invocation_says_what_it_was_about(
    monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    event, answer = CASES[function]
    monkeypatch.setattr(bootstrap, function, lambda: lambda *_: answer)
    [line] = run(function, event)
    assert about([line]) == [("parts", JOB)]
    assert (line["service"], line["level"]) == (function, "INFO")
    assert line["function_request_id"] == FakeLambdaContext().aws_request_id


def fail(*_: object) -> None:
    raise ZeroDivisionError("broken")


@pytest.mark.parametrize("function", sorted(CASES.keys() - {"build_dataset", "start_review"}))
def test_what_a_function_raises_is_found_by_the_same_id(
    monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    monkeypatch.setattr(bootstrap, function, lambda: fail)
    [line] = run(function, CASES[function][0])
    assert about([line]) == [("parts", JOB)]
    assert (line["message"], line["level"]) == ("failed", "ERROR")
    assert "ZeroDivisionError" in line["exception"]


def test_a_release_that_a_person_asked_for_goes_by_its_models_id(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = SimpleNamespace(of_request=lambda *_: ReleaseBegun("go", "ann approved it", PLAN))
    monkeypatch.setattr(bootstrap, "begin_release", lambda: begin)
    [line] = run("begin_release", {**STATE, "correlation_id": None, "request": "r-1"})
    assert about([line]) == [("parts", JOB)]


def test_nothing_is_left_of_the_invocation_before() -> None:
    logger = Logger(service="twice")

    @logged(logger)
    def handler(event: dict[str, Any], context: Any) -> None:
        if event:
            logger.append_keys(project="parts", correlation_id=JOB)
        logger.info("done")

    with log_of("twice") as lines:
        handler({"first": True}, FakeLambdaContext())
        handler({}, FakeLambdaContext())
        assert about(lines()) == [("parts", JOB), (None, None)]


def test_a_use_case_writes_to_the_log_of_its_function() -> None:
    with log_of("start_labeling") as lines:
        log_for_use_cases("start_labeling")("job cut", project="parts", correlation_id=JOB, images=3)
        [line] = lines()
    assert (line["service"], line["message"], line["images"]) == ("start_labeling", "job cut", 3)
    assert about([line]) == [("parts", JOB)]
    assert line["location"].startswith("test_a_use_case_writes_to_the_log_of_its_function:")


# Registration ---------------------------------------------------------------------------------------


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """The lines of a batch of two objects."""
    found = [
        Found("parts", "parts/a.png", "registered", "v1", SHA256),
        Found("parts", "parts/b.png", "rejected", "v2", reason="corrupt", detail="its checksum is wrong"),
    ]
    outcome = BatchOutcome({"parts": 1}, looked_at=2, rejected=1, found=found)
    monkeypatch.setattr(bootstrap, "register_images", lambda: lambda *_: outcome)
    return run("register_images", {"Records": []})


def test_each_object_of_a_batch_has_a_line(registered: list[Line]) -> None:
    image, rejected, batch = registered
    assert about([image, rejected]) == [("parts", "image-0123456789abcdef"), ("parts", None)]
    members = ("key", "version_id", "sha256", "state", "reason")
    assert [image.get(name) for name in members] == ["parts/a.png", "v1", SHA256, "registered", None]
    assert [rejected.get(name) for name in members] == ["parts/b.png", "v2", None, "rejected", "corrupt"]
    assert (batch["message"], batch["looked_at"], batch["projects"]) == ("batch registered", 2, {"parts": 1})


def test_the_metric_of_registered_images_is_a_number(registered: list[Line]) -> None:
    """CloudWatch counts nothing where a metric filter's value is an object."""
    template = yaml_parse((ROOT / "template.yaml").read_text())
    metric = template["Resources"]["ImagesRegisteredMetric"]["Properties"]
    [wanted] = re.findall(r'message = "([^"]+)"', metric["FilterPattern"])
    member = metric["MetricTransformations"][0]["MetricValue"].removeprefix("$.")
    assert [line[member] for line in registered if line["message"] == wanted] == [1]


# The REST API ---------------------------------------------------------------------------------------


def request(method: str, path: str, body: str | None = None) -> dict[str, Any]:
    claims = {"sub": "id-ann", "cognito:username": "ann"}
    return {
        "httpMethod": method,
        "path": path,
        "headers": {"content-type": "image/png"},
        "multiValueHeaders": {},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "body": body,
        "isBase64Encoded": False,
        "requestContext": {"requestId": "r-1", "authorizer": {"claims": claims}},
    }


PREDICT = request("POST", "/v1/projects/parts/predictions", "image")


def predicting(answer: Callable[[], Prediction]) -> Callable[..., Prediction]:
    def predict(project: str, content_type: str, body: bytes, note: Any) -> Prediction:
        note(prediction_id="p-1", model_version="0001", correlation_id=JOB)
        return answer()

    return predict


def test_a_prediction_has_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    prediction = Prediction("p-1", "parts", "0001", "image-classification")
    monkeypatch.setattr(bootstrap, "predict", lambda: predicting(lambda: prediction))
    [line] = run("predict", PREDICT)
    assert about([line]) == [("parts", JOB)]
    members = ("message", "prediction_id", "model_version", "outcome", "status", "request")
    assert [line[name] for name in members] == ["answered", "p-1", "0001", "ok", 200, "r-1"]
    assert line["milliseconds"] >= 0


def test_so_has_one_whose_model_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Prediction:
        raise ModelError("it answered nonsense")

    monkeypatch.setattr(bootstrap, "predict", lambda: predicting(broken))
    [line] = run("predict", PREDICT)
    assert about([line]) == [("parts", JOB)]
    assert (line["prediction_id"], line["outcome"], line["status"]) == ("p-1", ModelError.slug, 502)


def test_and_one_that_loupe_itself_fails_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "predict", lambda: predicting(fail))  # type: ignore[arg-type]
    [line] = run("predict", PREDICT)
    assert about([line]) == [("parts", JOB)]
    assert (line["message"], line["outcome"]) == ("failed", "failed")
    monkeypatch.setattr(bootstrap, "predict", lambda: lambda *_: Prediction("p-2", "parts", "0001", "task"))
    assert about(run("predict", PREDICT)) == [("parts", None)]


def test_workers_requests_go_by_their_job(monkeypatch: pytest.MonkeyPatch) -> None:
    now = FakeClock()()
    work = Work(LabelingJob("parts", JOB, "open", now, now), [])
    portal = SimpleNamespace(lease=lambda *_: work, annotate=lambda *_, **__: work)
    monkeypatch.setattr(bootstrap, "labeling_portal", lambda: portal)
    base = "/portal/api/projects/parts"
    task = f"{base}/jobs/{JOB}/tasks/000000"
    answer = request("PUT", f"{task}/annotation", '{"label": "a"}')
    lease = request("POST", f"{base}/leases", '{"count": 1}')
    assert about([*run("labeling_api", answer), *run("labeling_api", lease)]) == [("parts", JOB)] * 2
