import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from pixels import MAX_PIXELS, Frame, UnreadableImageError, image_size, normalise, to_pixels, to_square
from tests.unit.trainer.samples import encode, picture

SIDE = 32


def plain(mode: str, colour: object, size: tuple[int, int] = (40, 20)) -> Image.Image:
    return Image.new(mode, size, colour)  # type: ignore[arg-type]


def middle(data: bytes) -> list[int]:
    pixels = to_pixels(data, SIDE)
    assert pixels.shape == (3, SIDE, SIDE)
    assert pixels.dtype == torch.uint8
    assert pixels.is_contiguous()
    colour: list[int] = pixels[:, SIDE // 2, SIDE // 2].tolist()
    return colour


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (plain("RGB", (10, 20, 30)), [10, 20, 30]),
        (plain("L", 77), [77, 77, 77]),
        (plain("1", 1), [255, 255, 255]),
        (plain("RGBA", (10, 20, 30, 255)), [10, 20, 30]),
        (plain("RGBA", (10, 20, 30, 0)), [255, 255, 255]),
        (plain("LA", (10, 0)), [255, 255, 255]),
        (plain("P", 0), [0, 0, 0]),
    ],
    ids=["rgb", "grey", "one bit", "opaque", "transparent", "transparent grey", "palette"],
)
def test_png_of_every_mode_becomes_rgb_with_transparency_on_white(
    image: Image.Image, expected: list[int]
) -> None:
    assert middle(encode(image)) == expected


def test_sixteen_bit_grey_keeps_its_high_byte() -> None:
    image = Image.fromarray(np.full((20, 20), 0x8000, np.uint16))
    assert middle(encode(image)) == [128, 128, 128]


def test_cmyk_jpeg_is_read_in_its_colours() -> None:
    red, green, blue = middle(encode(plain("CMYK", (255, 0, 0, 0)), "JPEG"))
    assert red < 30
    assert green > 220
    assert blue > 220


def test_exif_orientation_turns_the_image() -> None:
    image = plain("RGB", "black", (64, 32))
    image.paste((255, 255, 255), (0, 0, 32, 32))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: what is left comes to the top
    pixels = to_pixels(encode(image, "JPEG", exif=exif.tobytes(), quality=95), SIDE)
    assert pixels[:, : SIDE // 4].float().mean() > 240
    assert pixels[:, -SIDE // 4 :].float().mean() < 15


def test_broken_exif_does_not_make_an_image_unreadable() -> None:
    data = encode(plain("RGB", (200, 10, 10)), "JPEG", exif=b"Exif\x00\x00MM\x00*garbage", quality=95)
    assert middle(data)[0] > 180


def test_the_first_frame_of_an_animation_counts() -> None:
    data = encode(
        plain("RGB", (0, 200, 0)),
        "PNG",
        save_all=True,
        append_images=[plain("RGB", (200, 0, 0))],
        duration=10,
    )
    assert middle(data) == [0, 200, 0]


def test_large_jpeg_and_its_small_copy_look_alike() -> None:
    gradient = np.tile(np.linspace(0, 255, 1024, dtype=np.uint8), (1024, 1))
    large = Image.fromarray(gradient)
    from_large = to_pixels(encode(large, "JPEG", quality=95), SIDE).float()
    from_small = to_pixels(encode(large.resize((SIDE, SIDE))), SIDE).float()
    assert (from_large - from_small).abs().mean() < 4


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"this is no image",
        encode(plain("RGB", "red"), "GIF"),
        encode(Image.effect_noise((200, 200), 90), "JPEG")[:2000],
        picture("dark", 1)[:200],
        picture("dark", 1)[:20],
    ],
    ids=["empty", "text", "gif", "truncated jpeg", "truncated png", "png header only"],
)
def test_what_cannot_be_decoded_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(UnreadableImageError, match="image"):
        to_pixels(data, SIDE)


@pytest.mark.parametrize("side", [10_001, 20_000])
def test_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    assert side * side > MAX_PIXELS
    with pytest.raises(UnreadableImageError, match="pixels"):
        to_pixels(bomb, SIDE)


def test_size_comes_from_the_header() -> None:
    data = encode(plain("RGB", "red", (300, 100)))
    assert image_size(io.BytesIO(data).getvalue()[:60]) == (300, 100)


def test_normalised_pixels_have_the_channels_mean_taken_off() -> None:
    batch = torch.full((2, 3, 4, 4), 0.5)
    result = normalise(batch, (0.5, 0.25, 0.0), (1.0, 0.5, 0.25))
    assert result[0, :, 0, 0].tolist() == [0.0, 0.5, 2.0]
    assert result.is_contiguous()


def test_letterboxed_image_keeps_its_aspect_ratio_at_the_top_left() -> None:
    pixels, frame = to_square(encode(plain("RGB", (250, 10, 10), (80, 40))), 64, letterboxed=True)
    assert pixels.shape == (3, 64, 64)
    assert pixels[:, 31, 63].tolist() == [250, 10, 10]
    assert pixels[:, 32, 0].tolist() == [128, 128, 128]
    assert frame.scale == (0.8, 0.8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("letterboxed", [True, False])
def test_box_of_a_turned_image_is_where_its_object_is(orientation: int, letterboxed: bool) -> None:
    image = plain("RGB", "black", (96, 64))
    box = (8, 16, 40, 24)
    image.paste((255, 255, 255), box)
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, frame = to_square(encode(image, exif=exif.tobytes()), 96, letterboxed=letterboxed)
    stored = torch.tensor([box], dtype=torch.float32)
    in_square = frame.to_square(stored)
    rows, columns = (pixels[0] > 200).nonzero().unbind(dim=1)
    seen = torch.stack((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    assert (seen - in_square[0]).abs().max() <= 1
    assert torch.allclose(frame.to_image(in_square), stored, atol=1e-3)


def test_box_beyond_the_image_is_cut_off() -> None:
    frame = Frame(100, 50, 1, (0.5, 0.5))
    assert frame.to_image(torch.tensor([[-5.0, 10, 60, 40]])).tolist() == [[0, 20, 100, 50]]
