import pytest
import torch

from augmentation import Augmentation

BATCH = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def augmented(
    seed: int, strength: float = 1.0, flip: str = "none", batch: torch.Tensor = BATCH
) -> torch.Tensor:
    return Augmentation(strength, flip, torch.Generator().manual_seed(seed))(batch)


@pytest.mark.parametrize("flip", ["none", "horizontal", "both"])
def test_shape_and_range_stay(flip: str) -> None:
    result = augmented(0, 2.0, flip)
    assert result.shape == BATCH.shape
    assert result.is_contiguous()
    assert 0 <= float(result.min()) <= float(result.max()) <= 1


def test_same_seed_changes_the_same_way_and_another_seed_another_way() -> None:
    assert torch.equal(augmented(1), augmented(1))
    assert not torch.equal(augmented(1), augmented(2))


def test_each_image_is_changed_by_its_own_amounts() -> None:
    same = BATCH[:1].expand(4, -1, -1, -1)
    result = augmented(3, batch=same)
    assert not torch.allclose(result[0], result[1])


def test_no_strength_changes_nothing() -> None:
    assert torch.equal(augmented(0, 0.0), BATCH)


def test_flip_mirrors_about_half_of_the_images() -> None:
    ramp = torch.linspace(0, 1, 32).expand(200, 3, 32, 32)
    result = augmented(0, 0.0, "horizontal", ramp)
    mirrored = result[:, 0, 16, 0] > result[:, 0, 16, -1]
    assert 60 < int(mirrored.sum()) < 140
