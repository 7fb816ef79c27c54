import pytest
import torch

from augmentation import Augmentation, BoxAugmentation

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


BOX = torch.tensor([[1.0, 12, 20, 28, 30], [-1.0, -1, -1, -1, -1]])


def block(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Black pictures with a white block, and their boxes: the block's, and a row that fills up."""
    pixels = torch.zeros(count, 3, 64, 64)
    pixels[:, :, 20:30, 12:28] = 1
    return pixels, BOX.expand(count, -1, -1)


@pytest.mark.parametrize("flip", ["none", "horizontal", "both"])
def test_boxes_go_where_their_objects_go(flip: str) -> None:
    moved, boxes = BoxAugmentation(1.0, flip, torch.Generator().manual_seed(2))(*block(40))
    assert moved.is_contiguous()
    assert not torch.equal(boxes[0], boxes[1])
    for picture, (box, filler) in zip(moved, boxes, strict=True):
        assert filler[0] == -1
        if box[0] == -1:
            continue
        rows, columns = (picture[0] > (picture.min() + picture.max()) / 2).nonzero().unbind(dim=1)
        seen = torch.stack((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        assert (seen - box[1:]).abs().max() <= 1.5


def test_box_that_leaves_the_picture_is_no_longer_looked_for() -> None:
    corner = torch.tensor([[[0.0, 0, 0, 6, 6]]]).expand(200, -1, -1)
    _, boxes = BoxAugmentation(2.0, "none", torch.Generator().manual_seed(0))(
        torch.zeros(200, 3, 64, 64), corner
    )
    kept = boxes[boxes[..., 0] == 0]
    assert 50 < len(kept) < 200
    assert (kept[:, 1:] >= 0).all()
    assert (kept[:, 3:] > kept[:, 1:3]).all()


def test_without_strength_boxes_stay() -> None:
    pixels, boxes = block(2)
    assert torch.equal(BoxAugmentation(0.0, "none", torch.Generator())(pixels, boxes)[1], boxes)
