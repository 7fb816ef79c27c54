"""Inspecting images: what is accepted, what is rejected and why, and which look alike."""

import io
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from loupe.domain.images.inspection import (
    MAX_IMAGE_BYTES,
    NEAR_DUPLICATE_DISTANCE,
    ImageFacts,
    ImageRejected,
    check_size,
    dimensions,
    distance,
    inspect,
)
from tests.unit.ingest.pictures import black_png, chunk, encoded, interlaced, jpeg, photo, png, png_of

PHOTO = photo()


def rejected(data: bytes) -> ImageRejected:
    with pytest.raises(ImageRejected) as caught:
        inspect(data)
    return caught.value


# Accepted


@pytest.mark.parametrize(
    ("data", "file_format"),
    [
        pytest.param(jpeg(), "jpeg", id="JPEG"),
        pytest.param(jpeg(progressive=True), "jpeg", id="progressive JPEG"),
        pytest.param(encoded(PHOTO.convert("CMYK"), "JPEG"), "jpeg", id="CMYK JPEG"),
        pytest.param(encoded(PHOTO.convert("L"), "JPEG"), "jpeg", id="gray JPEG"),
        pytest.param(jpeg() + b"\0" * 5000, "jpeg", id="JPEG with something behind it"),
        pytest.param(png(), "png", id="PNG"),
        pytest.param(encoded(PHOTO.convert("P"), "PNG"), "png", id="PNG with palette"),
        pytest.param(encoded(PHOTO.convert("1"), "PNG"), "png", id="PNG of one bit"),
        pytest.param(encoded(PHOTO.convert("LA"), "PNG"), "png", id="gray PNG with transparency"),
        pytest.param(encoded(PHOTO.convert("RGBA"), "PNG"), "png", id="PNG with transparency"),
        pytest.param(encoded(PHOTO.convert("I;16"), "PNG"), "png", id="16-bit PNG"),
        pytest.param(
            encoded(PHOTO, "PNG", save_all=True, append_images=[photo(seed=1)]), "png", id="animated PNG"
        ),
        pytest.param(interlaced(np.asarray(PHOTO)), "png", id="interlaced PNG"),
        pytest.param(png() + b"more", "png", id="PNG with something behind it"),
    ],
)
def test_images_are_accepted_with_their_dimensions(data: bytes, file_format: str) -> None:
    facts = inspect(data)
    assert (facts.width, facts.height, facts.format) == (320, 240, file_format)
    assert len(bytes.fromhex(facts.phash)) == 32


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (2000, 1), (17, 16), (65, 63)])
def test_images_of_any_shape_are_accepted(size: tuple[int, int]) -> None:
    for file_format in ("JPEG", "PNG"):
        facts = inspect(encoded(PHOTO.resize(size), file_format))
        assert (facts.width, facts.height) == size


def test_dimensions_are_told_by_the_header_alone() -> None:
    assert dimensions(png(40, 30)[:33]) == (40, 30)
    assert dimensions(jpeg(40, 30)) == (40, 30)
    with pytest.raises(ImageRejected, match="GIF"):
        dimensions(b"GIF89a" + bytes(30))


def test_dimensions_are_those_stored_whatever_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    for data in (jpeg(exif=exif), png(exif=exif)):
        facts = inspect(data)
        assert (facts.width, facts.height, facts.orientation) == (320, 240, 6)


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_that_exif_does_not_have_is_none(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert [inspect(data).orientation for data in (jpeg(exif=exif), png(exif=exif), jpeg())] == [1, 1, 1]


def test_what_counts_is_the_content_not_the_pixels_encoding() -> None:
    assert distance(inspect(png()).phash, inspect(interlaced(np.asarray(PHOTO))).phash) == 0


# Limits


def memory_taken(act: Callable[[], object]) -> int:
    """Megabytes by which the process's peak grew."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    act()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024


def test_more_than_100_megapixels_are_rejected_by_the_header_alone() -> None:
    bomb = black_png(20_000, 10_000)
    assert len(bomb) < 700_000
    assert memory_taken(lambda: rejected(bomb)) < 50
    error = rejected(bomb)
    assert error.reason == "too-many-pixels"
    assert "200 megapixels" in error.detail


@pytest.mark.parametrize("is_interlaced", [False, True], ids=["plain", "interlaced"])
def test_100_megapixels_are_accepted_in_little_memory(is_interlaced: bool) -> None:
    data = black_png(10_000, 10_000, is_interlaced=is_interlaced)
    facts: list[ImageFacts] = []
    assert memory_taken(lambda: facts.append(inspect(data))) < 100
    assert facts[0].width == 10_000


def test_a_large_interlaced_png_is_hashed_by_what_it_shows() -> None:
    """From one pixel in 64, so less exactly than others; two different pictures are about 128 bits apart."""
    image = photo(2400, 2000)
    plain, woven = encoded(image, "PNG", compress_level=1), interlaced(np.asarray(image))
    assert distance(inspect(plain).phash, inspect(woven).phash) <= 2 * NEAR_DUPLICATE_DISTANCE


def test_a_large_interlaced_png_that_holds_less_or_more_than_it_says_is_rejected() -> None:
    size = len(range(0, 2400, 8)) * 3 + 1
    assert rejected(png_of(2400, 2000, bytes(size * 250), is_interlaced=True)).reason == "truncated"
    assert rejected(png_of(2400, 2000, bytes(20_000_000), is_interlaced=True)).reason == "corrupt"


def test_size_limits() -> None:
    check_size(MAX_IMAGE_BYTES)
    with pytest.raises(ImageRejected, match="too-large: 40,000,001 bytes"):
        check_size(MAX_IMAGE_BYTES + 1)


# Rejected

JPEG, PNG = jpeg(1200, 800), png()
MIDDLE = len(PNG) // 2


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        pytest.param(b"", "empty-file", "no content", id="nothing"),
        pytest.param(b"not an image\n", "not-an-image", "begins with b'not an", id="text"),
        pytest.param(b"\xef\xbb\xbf<html>", "not-an-image", "neither JPEG nor PNG", id="HTML"),
        pytest.param(b"<?xml?><svg xmlns='x'/>", "unsupported-format", "SVG", id="SVG"),
        pytest.param(encoded(PHOTO, "GIF"), "unsupported-format", "GIF", id="GIF"),
        pytest.param(encoded(PHOTO, "WEBP"), "unsupported-format", "WebP", id="WebP"),
        pytest.param(encoded(PHOTO, "TIFF"), "unsupported-format", "TIFF", id="TIFF"),
        pytest.param(encoded(PHOTO, "BMP"), "unsupported-format", "BMP", id="BMP"),
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0", "unsupported-format", "HEIC", id="HEIC"),
        pytest.param(b"\0\0\0\x18ftypavif\0\0\0\0", "unsupported-format", "AVIF", id="AVIF"),
        pytest.param(b"\0\0\0\x18ftypmp42\0\0\0\0", "unsupported-format", "video", id="MP4"),
        pytest.param(b"%PDF-1.7", "unsupported-format", "PDF", id="PDF"),
        pytest.param(b"\xff\xd8", "truncated", "2 bytes", id="two bytes of a JPEG"),
        pytest.param(JPEG[:3], "truncated", "premature end", id="three bytes of a JPEG"),
        pytest.param(JPEG[: len(JPEG) // 2], "truncated", "premature end", id="half a JPEG"),
        pytest.param(JPEG[:-2], "truncated", "premature end", id="JPEG without its end"),
        pytest.param(
            jpeg(1200, 800, progressive=True)[:-100], "truncated", "premature end", id="progressive JPEG, cut"
        ),
        pytest.param(PNG[:20], "truncated", "20 bytes", id="PNG cut in its header"),
        pytest.param(PNG[:MIDDLE], "truncated", "in the middle of its chunk", id="half a PNG"),
        pytest.param(PNG[:-12], "truncated", "in the middle", id="PNG without its end"),
        pytest.param(
            PNG[:MIDDLE] + b"\0\1\2\3" + PNG[MIDDLE + 4 :], "corrupt", "checksum", id="PNG with wrong bytes"
        ),
        pytest.param(png_of(64, 64, bytes(1000)), "corrupt", "", id="PNG with too few pixels"),
        pytest.param(png_of(64, 64, b"\7" * 64 * 193), "corrupt", "", id="PNG with a filter that is none"),
        pytest.param(png_of(0, 64, b""), "corrupt", "0 × 64", id="PNG without width"),  # noqa: RUF001
        pytest.param(png_of(64, 64, b"", colour=5), "corrupt", "colour type 5", id="PNG of no colour type"),
        pytest.param(PNG[:8] + chunk(b"tEXt", bytes(40)), "corrupt", "IHDR", id="PNG without header"),
    ],
)
def test_what_cannot_be_labeled_is_rejected_with_its_reason(data: bytes, reason: str, words: str) -> None:
    error = rejected(data)
    assert error.reason == reason
    assert words in error.detail


def test_images_that_are_rejected_at_the_same_time_keep_their_own_reasons() -> None:
    whole = jpeg(640, 480)
    cut = whole[: len(whole) // 2]
    odd = whole[:-2] + b"\0" * 20 + whole[-2:]  # complete, but libjpeg warns of it
    broken = png(64, 64)[:60] + b"\xff" * 40

    def reason(data: bytes) -> str:
        try:
            inspect(data)
        except ImageRejected as error:
            return error.reason
        return "accepted"

    with ThreadPoolExecutor(8) as pool:
        reasons = list(pool.map(reason, [cut, odd, broken] * 200))
    assert reasons == [reason(cut), reason(odd), reason(broken)] * 200
    assert reasons[:2] == ["truncated", "accepted"]


def test_a_scan_that_is_overwritten_is_rejected() -> None:
    noise = np.random.default_rng(3).bytes(4000)
    at = len(JPEG) // 2
    assert rejected(JPEG[:at] + noise + JPEG[at + 4000 :]).reason in ("corrupt", "truncated")


def test_a_png_that_lies_about_its_pixels_inflates_no_further_than_they_reach() -> None:
    bomb = png_of(64, 64, bytes(100_000_000))
    assert memory_taken(lambda: inspect(bomb) if len(bomb) < 200_000 else None) < 50


# Near-duplicates


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda image: encoded(image, "JPEG", quality=60), id="encoded again"),
        pytest.param(lambda image: encoded(image, "PNG"), id="as PNG"),
        pytest.param(lambda image: encoded(image.resize((576, 432)), "JPEG", quality=90), id="at 90 %"),
        pytest.param(
            lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.08), "JPEG"), id="brighter"
        ),
    ],
)
def test_copies_of_a_picture_are_near_duplicates(seed: int, change: Callable[[Image.Image], bytes]) -> None:
    original = jpeg(640, 480, seed, quality=92)
    copy = change(Image.open(io.BytesIO(original)))
    assert distance(inspect(original).phash, inspect(copy).phash) <= NEAR_DUPLICATE_DISTANCE


def test_other_pictures_are_not() -> None:
    hashes = [inspect(jpeg(seed=seed)).phash for seed in range(12)]
    distances = [distance(a, b) for at, a in enumerate(hashes) for b in hashes[:at]]
    assert min(distances) > 2 * NEAR_DUPLICATE_DISTANCE


def test_distance_counts_bits() -> None:
    assert distance("0" * 64, "f" * 64) == 256
    assert distance("0" * 63 + "1", "0" * 63 + "2") == 2
