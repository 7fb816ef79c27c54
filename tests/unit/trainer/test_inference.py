import json
import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import inference
from inference import Model, RefusedRequestError, input_fn, model_fn, output_fn, predict_fn
from model_files import ModelCard, ModelFilesError, load_card, save_model
from networks import build_network, small_resnet_options
from tests.unit.trainer.samples import picture

LABELS = ("bright", "dark", "größer")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    options = small_resnet_options(4, 32)
    card = ModelCard(
        task="image-classification",
        labels=LABELS,
        dataset_version="0001",
        backbone="resnet-small",
        options=options,
        image_size=32,
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
        temperature=2.0,
        versions={},
    )
    save_model(tmp_path, card, build_network("resnet-small", 3, options))
    return tmp_path


@pytest.fixture
def model(folder: Path) -> Model:
    return model_fn(str(folder))


@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg", "application/x-image", "Image/PNG; x=1"])
def test_answer_has_every_label_best_first_with_confidences_that_sum_to_one(
    model: Model, content_type: str
) -> None:
    prediction = predict_fn(input_fn(picture("dark", 1), content_type), model)
    body, answer_type = output_fn(prediction, "*/*")
    assert answer_type == "application/json"
    answers = json.loads(body)["predictions"]
    assert sorted(answer["label"] for answer in answers) == sorted(LABELS)
    confidences = [answer["confidence"] for answer in answers]
    assert confidences == sorted(confidences, reverse=True)
    assert sum(confidences) == pytest.approx(1.0)


def test_confidence_is_calibrated_by_the_temperature(folder: Path) -> None:
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    image = picture("dark", 1)
    cool = predict_fn(image, model_fn(str(folder)))["predictions"][0]
    (folder / "model.json").write_text(json.dumps(card | {"temperature": 20.0}), encoding="utf-8")
    warm = predict_fn(image, model_fn(str(folder)))["predictions"][0]
    assert warm["label"] == cool["label"]
    assert 1 / 3 < float(warm["confidence"]) < float(cool["confidence"])


def test_what_is_no_image_is_the_callers_fault(model: Model) -> None:
    with pytest.raises(RefusedRequestError, match="neither a JPEG nor a PNG") as refused:
        predict_fn(input_fn(b"text", "image/png"), model)
    assert isinstance(refused.value, ValueError)
    assert refused.value.status_code == 422
    assert refused.value.message == str(refused.value)


def test_other_content_types_are_refused() -> None:
    with pytest.raises(RefusedRequestError, match="application/json") as refused:
        input_fn(b"{}", "application/json")
    assert refused.value.status_code == 415


def test_model_of_another_format_is_refused(folder: Path) -> None:
    (folder / "model.json").write_text('{"format": 99}', encoding="utf-8")
    with pytest.raises(ModelFilesError, match="format 99"):
        load_card(folder)


def test_serving_code_lies_beside_the_weights_and_is_all_it_needs(folder: Path) -> None:
    modules = {path.name for path in (folder / "code").iterdir()}
    assert modules == {
        "answers.py",
        "detector.py",
        "inference.py",
        "model_files.py",
        "networks.py",
        "pixels.py",
    }


def test_in_sagemakers_container_a_refusal_is_the_toolkits_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class BaseInferenceToolkitError(Exception):
        def __init__(self, status_code: int, message: str, phrase: str) -> None:
            self.status_code, self.message, self.phrase = status_code, message, phrase
            super().__init__(status_code, message, phrase)

    errors = ModuleType("sagemaker_inference.errors")
    vars(errors)["BaseInferenceToolkitError"] = BaseInferenceToolkitError
    monkeypatch.setitem(sys.modules, "sagemaker_inference", ModuleType("sagemaker_inference"))
    monkeypatch.setitem(sys.modules, "sagemaker_inference.errors", errors)
    serving = runpy.run_path(inference.__file__)
    with pytest.raises(BaseInferenceToolkitError) as refused:
        serving["input_fn"](b"{}", "application/json")
    assert refused.value.status_code == 415
    assert "application/json" in refused.value.message


@pytest.mark.parametrize("text", ["half", "-0.1", "1.5", "nan"])
def test_least_confidence_that_is_none_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(inference.MIN_CONFIDENCE, text)
    with pytest.raises(ValueError, match=r"LOUPE_MIN_CONFIDENCE is .*not a number from 0 to 1"):
        model_fn(str(folder))
