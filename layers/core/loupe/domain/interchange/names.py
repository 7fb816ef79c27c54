"""Which image a label file means: it names images by paths that are seldom those that are there."""

import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterable

from loupe.domain.errors import DomainError
from loupe.domain.interchange.records import is_image


class AmbiguousName(DomainError):
    """Several images could be meant; the message names two."""

    status, slug, title = 422, "ambiguous-name", "Several images could be meant"


def beside(label_file: str, name: str, present: Collection[str]) -> str:
    """The path of the image that a label file names, if it lies at that path from the label file's folder or
    from the root; the name itself otherwise."""
    clean = normal(name)
    for folder in (posixpath.dirname(label_file), ""):
        path = posixpath.normpath(posixpath.join(folder, clean))
        if path in present:
            return path
    return name


def normal(name: str) -> str:
    """A path with slashes, without `./` at its beginning."""
    return name.replace("\\", "/").removeprefix("./")


class Names:
    """Finds the one path that a name means: that path, or one that ends in the name or is the end of it.

    Of several paths that are the end of a name the longest says most. A name without an image's ending means
    the image of that name, whatever its ending.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = set(paths)
        self._by_base: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self._paths):
            self._by_base[_stem(path.rpartition("/")[2])].append(path)

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    def find(self, name: str) -> str | None:
        """Raises `AmbiguousName`."""
        if not self._paths:
            return None
        clean = normal(name)
        for exact in (name, clean):
            if exact in self._paths:
                return exact
        wanted = f"/{clean}" if is_image(clean) else f"/{_stem(clean)}"
        longer: list[str] = []
        shorter: list[str] = []
        for path in self._by_base.get(_stem(clean.rpartition("/")[2]), ()):
            found = f"/{path}" if is_image(clean) else f"/{_stem(path)}"
            if found.endswith(wanted):
                longer.append(path)
            elif wanted.endswith(found):
                shorter.append(path)
        near = longer or shorter
        if shorter and not longer:
            most = max(map(len, shorter))
            near = [path for path in shorter if len(path) == most]
        if len(near) > 1:
            raise AmbiguousName(
                f"{name} could be {near[0]} or {near[1]}: name it by its whole path, or import the folders "
                "one by one"
            )
        return near[0] if near else None


def _stem(path: str) -> str:
    """The path without an image's ending."""
    return posixpath.splitext(path)[0] if is_image(path) else path
