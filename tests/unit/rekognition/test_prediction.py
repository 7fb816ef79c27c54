"""What an app, the status and the end of a training have to do with a model that costs by the hour."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from loupe.domain.errors import ModelNotRunning
from loupe.domain.failures import explain
from loupe.domain.serving.prediction import Predict
from loupe.domain.training.turns import Result
from loupe.ports.loops import Champion, HostingRecord, ServedModel
from tests.fakes.objects import FakeObjects
from tests.unit.ingest.pictures import png
from tests.unit.rekognition.test_plan import configure, plan
from tests.unit.training.world import FIRST, PROJECT, World

HOSTED = ServedModel("rekognition", "rekognition", "image-classification", ("a", "b"), "arn:champion")


@dataclass
class FakeHost:
    """Implements `loupe.ports.models.InvokesEndpoints`."""

    runs: bool = True
    calls: int = field(default=0)

    def invoke(self, model: ServedModel, image: bytes, content_type: str) -> list[dict[str, Any]]:
        self.calls += 1
        if not self.runs:
            raise ModelNotRunning("it is STOPPED")
        return [{"label": "a", "confidence": 0.9}]


def app(world: World, host: FakeHost, model: ServedModel = HOSTED) -> Predict:
    configure(world)
    world.loops.save_champion(PROJECT, Champion("0001", 0.9, model, None, None, world.clock()))
    return Predict(world.projects, world.loops, host, FakeObjects("raw"), "raw", world.clock, 2)


def test_a_stopped_model_says_how_to_start_it(world: World) -> None:
    predict = app(world, FakeHost(runs=False))
    with pytest.raises(ModelNotRunning, match="loupe model start digits") as stopped:
        predict(PROJECT, "image/png", png())
    assert (stopped.value.status, stopped.value.slug) == (409, "model-stopped")
    assert world.loops.loop(PROJECT).last_called_at is None


def test_a_call_is_noted_once_a_minute(world: World) -> None:
    predict = app(world, FakeHost())
    predict(PROJECT, "image/png", png())
    first = world.clock()
    assert world.loops.loop(PROJECT).last_called_at == first
    world.clock.advance(seconds=59)
    predict(PROJECT, "image/png", png())
    assert world.loops.loop(PROJECT).last_called_at == first
    world.clock.advance(seconds=1)
    predict(PROJECT, "image/png", png())
    assert world.loops.loop(PROJECT).last_called_at == world.clock()


def test_calls_of_endpoints_that_scale_to_zero_are_not_noted(world: World) -> None:
    model = ServedModel("serverless", "script", "image-classification", ("a", "b"), "loupe-digits")
    app(world, FakeHost(), model)(PROJECT, "image/png", png())
    assert world.loops.loop(PROJECT).last_called_at is None


def test_a_promoted_model_runs_with_its_units_from_then_on(world: World) -> None:
    configure(world, inference_units=2, max_inference_units=3)
    world.finish("digits-1", {world.upload(f"{n}"): "ab"[n % 2] for n in range(40)})
    world.build()
    planned = plan(world)
    result = Result(PROJECT, FIRST, "promoted", planned.version, "good", 0.8, endpoint="arn:new")
    world.conclude(result)
    loop = world.loops.loop(PROJECT)
    assert loop.hosting == HostingRecord("running", world.clock(), 2, 3)
    assert loop.champion is not None
    assert loop.champion.model == ServedModel(
        "rekognition", "rekognition", "image-classification", ("a", "b"), "arn:new"
    )
    assert loop.champion.endpoint_config is None


def test_a_failure_with_a_code_says_how_to_mend_it() -> None:
    failure = {"Error": "CustomLabelsTrainingFailed", "Cause": "refused: ERROR_EMPTY_MANIFEST"}
    told = explain(failure)
    assert told.startswith("refused: ERROR_EMPTY_MANIFEST (ERROR_EMPTY_MANIFEST: label images")
    assert explain({"Error": "ManifestsRefused", "Cause": told}) == told
