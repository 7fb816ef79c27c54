import json
import sys
from pathlib import Path

import pytest
import torch

from networks import BackboneError, build_network, load_pretrained, small_resnet_options
from tests.unit.trainer.samples import save_tiny_resnet, save_tiny_vit


@pytest.mark.parametrize("side", [32, 64, 100, 224])
def test_small_resnet_answers_for_every_side(side: int) -> None:
    network = build_network("resnet-small", 5, small_resnet_options(4, side)).eval()
    assert network(torch.zeros(2, 3, side, side)).shape == (2, 5)


@pytest.fixture(params=[save_tiny_vit, save_tiny_resnet])
def weights(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a pretrained classifier."""
    torch.manual_seed(0)
    request.param(tmp_path)
    return tmp_path


def test_pretrained_weights_get_a_new_head_and_are_rebuilt_from_their_options(weights: Path) -> None:
    pretrained = load_pretrained(f"hf:{weights}", str(weights), 5)
    # What is kept in model.json is all that is needed to build the same network again.
    options = json.loads(json.dumps(pretrained.options))
    rebuilt = build_network(f"hf:{weights}", 5, options)
    rebuilt.load_state_dict(pretrained.network.state_dict())
    images = torch.rand(2, 3, 48, 48)
    with torch.inference_mode():
        answer = pretrained.network.eval()(images)
        assert answer.shape == (2, 5)
        assert torch.equal(rebuilt.eval()(images), answer)


def test_images_are_prepared_as_the_backbones_authors_did(weights: Path) -> None:
    preparation = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2], "size": {"shortest_edge": 96}}
    (weights / "preprocessor_config.json").write_text(json.dumps(preparation), encoding="utf-8")
    pretrained = load_pretrained(f"hf:{weights}", str(weights), 2)
    assert pretrained.mean == (0.5, 0.4, 0.3)
    assert pretrained.std == (0.2, 0.2, 0.2)
    assert pretrained.image_size == 96


def test_side_that_a_transformer_does_not_take_is_refused(tmp_path: Path) -> None:
    save_tiny_vit(tmp_path)
    network = load_pretrained(f"hf:{tmp_path}", str(tmp_path), 2).network
    network.require_side(48)
    with pytest.raises(BackboneError, match="does not take images of 64x64"):
        network.require_side(64)


def test_weights_that_cannot_be_had_are_named(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(BackboneError, match=r"cannot be loaded from .*nowhere"):
        load_pretrained(f"hf:{nowhere}", nowhere, 2)


def test_model_that_does_not_classify_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(BackboneError, match="cannot be loaded"):
        load_pretrained(f"hf:{tmp_path}", str(tmp_path), 2)


def test_missing_package_is_named_with_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BackboneError, match="needs the package transformers"):
        load_pretrained("hf:some/model", "some/model", 2)


def test_unknown_backbone_is_refused() -> None:
    with pytest.raises(BackboneError, match="unknown backbone 'alexnet'"):
        build_network("alexnet", 2, {})
