"""Small copies of a project's images, for pages that show many of them, or large ones.

A preview is made when it is first asked for, and stays in the workspace bucket. It lies as its original is
stored, whatever EXIF says about turning it, so that boxes in it are boxes in the original, but for the scale.
"""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyvips

from loupe.domain.errors import ObjectMissing, ProjectNotFound
from loupe.domain.images.inspection import ImageRejected, decoded, media_type
from loupe.domain.workspace import PreviewSize, Workspace
from loupe.ports.images import ImageRecord, KeepsImages
from loupe.ports.messages import Clock
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects

LONGEST_SIDES: dict[PreviewSize, int] = {"preview": 2048, "thumbnail": 256}
"""Pixels of the longer side of each size at most; a smaller image keeps its own."""
MAX_IMAGES = 60
"""Most images of a request."""
URL_SECONDS = 3600
MAKING = timedelta(seconds=15)
"""For so long after a request another image is begun. API Gateway gives up after 29 s, and what the largest
image takes has to fit in between."""

_LOOK_UPS_AT_ONCE = 16
_AT_ONCE = 4
"""Images in memory, of which one is decoded; each may have 40 MB."""
_QUALITY, _EFFORT = 80, 2


@dataclass(frozen=True)
class Preview:
    """`url` shows it to whoever has it; width and height are the preview's own, in pixels."""

    sha256: str
    url: str
    width: int
    height: int


@dataclass(frozen=True)
class NoPreview:
    """Why an image has none. `reason` is a slug, `detail` says it in words; `later` means that there was not
    enough time, and that asking again goes on from there."""

    sha256: str
    reason: str
    detail: str


class MakePreviews:
    """Gives previews of images, and makes those that nobody has asked for before."""

    def __init__(
        self,
        *,
        projects: KeepsProjects,
        images: KeepsImages,
        raw_data: StoresObjects,
        workspace: StoresObjects,
        clock: Clock,
    ) -> None:
        self._projects = projects
        self._images = images
        self._raw_data = raw_data
        self._workspace = workspace
        self._clock = clock

    def __call__(
        self, project: str, size: PreviewSize, sha256s: Iterable[str]
    ) -> tuple[list[Preview], list[NoPreview]]:
        """Previews of the images, and what is missing, both in the order asked for.

        Raises `ProjectNotFound`.
        """
        until = self._clock() + MAKING
        wanted = list(dict.fromkeys(sha256s))
        known = self._images.images(project, wanted)
        if not known and self._projects.project(project) is None:
            raise ProjectNotFound(f"there is no project {project!r}")
        names = Workspace(project)
        with ThreadPoolExecutor(_LOOK_UPS_AT_ONCE) as pool:
            there = pool.map(lambda sha256: self._workspace.exists(names.preview(size, sha256)), known)
            missing = [sha256 for sha256, is_there in zip(known, there, strict=True) if not is_there]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            made = pool.map(lambda sha256: self._make(names, size, known[sha256], until), missing)
            failed = {none.sha256: none for none in made if none is not None}
        unknown = [sha256 for sha256 in wanted if sha256 not in known]
        failed |= {sha256: NoPreview(sha256, "unknown-image", _UNKNOWN) for sha256 in unknown}
        previews = [self._shown(names, size, known[sha256]) for sha256 in wanted if sha256 not in failed]
        return previews, [failed[sha256] for sha256 in wanted if sha256 in failed]

    def _shown(self, names: Workspace, size: PreviewSize, image: ImageRecord) -> Preview:
        url = self._workspace.presigned_url(names.preview(size, image.sha256), None, URL_SECONDS)
        return Preview(image.sha256, url, *preview_dimensions(image.width, image.height, LONGEST_SIDES[size]))

    def _make(
        self, names: Workspace, size: PreviewSize, image: ImageRecord, until: datetime
    ) -> NoPreview | None:
        def make() -> bytes:
            # Asked here, as another image may have been decoded until now.
            self._check_time(until)
            return made_smaller(content, *preview_dimensions(image.width, image.height, LONGEST_SIDES[size]))

        try:
            self._check_time(until)
            content = self._raw_data.read(image.key, image.version_id)
            if hashlib.sha256(content).hexdigest() != image.sha256:
                return NoPreview(image.sha256, "gone", f"{image.key} holds something else by now")
            media_type(content)
            self._workspace.write(names.preview(size, image.sha256), decoded(make), "image/webp")
        except _NoTimeLeft:
            return NoPreview(image.sha256, "later", "there was not enough time; ask again")
        except ObjectMissing:
            return NoPreview(image.sha256, "gone", f"{image.key} is not there any more")
        except ImageRejected as rejected:
            return NoPreview(image.sha256, "not-an-image", rejected.detail)
        return None

    def _check_time(self, until: datetime) -> None:
        if self._clock() >= until:
            raise _NoTimeLeft


_UNKNOWN = "the project has no image of this SHA-256"


class _NoTimeLeft(Exception):
    """Whoever waits for the answer should have it now."""


def preview_dimensions(width: int, height: int, longest: int) -> tuple[int, int]:
    """Width and height of the image when its longer side has at most `longest` pixels; never larger."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def made_smaller(image: bytes, width: int, height: int) -> bytes:
    """A WebP of these dimensions. JPEGs shrink while they are decoded, others pass by line by line."""
    # Profiles cost as much time as the rest, and few images have one that says more than sRGB.
    has_profile = pyvips.Image.new_from_buffer(image, "", access="sequential").get_typeof(_PROFILE) != 0
    options: dict[str, Any] = {"output_profile": "srgb"} if has_profile else {}
    small = pyvips.Image.thumbnail_buffer(
        image, width, height=height, size="force", no_rotate=True, **options
    )
    content: bytes = small.webpsave_buffer(Q=_QUALITY, effort=_EFFORT, keep="none")
    return content


_PROFILE = "icc-profile-data"
