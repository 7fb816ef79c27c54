"""Where an image lies: in the raw-data bucket, or in another one that the project refers to.

Wherever Loupe keeps an image's *key*, in the index, in label files and tasks, this is the key of an object of
the raw-data bucket or, of an image that is referred to, the URI of an object of another bucket. No project's
name has a colon, so that no key of an image in the raw-data bucket begins as a URI does. Manifests have URIs
for both.
"""

from collections.abc import Iterable, Iterator

from loupe.domain.manifests import S3Uri

_SCHEME = "s3://"
MAX_FOLDERS = 100
"""So many folders of images that are referred to are listed, each with all that is below it."""


def is_referred(key: str) -> bool:
    """Whether the image lies in another bucket than the raw-data bucket."""
    return key.startswith(_SCHEME)


def uri_of(key: str, raw_data_bucket: str) -> S3Uri:
    """Where the image of that key lies."""
    return S3Uri.parse(key) if is_referred(key) else S3Uri(raw_data_bucket, key)


def key_of(uri: str, raw_data_bucket: str) -> str:
    """The key of the image at a `source-ref`. Raises `InvalidManifest` for what is no S3 URI of an object."""
    place = S3Uri.parse(uri)
    return place.key if place.bucket == raw_data_bucket else str(place)


class ReferredFolders:
    """The folders of images that are referred to, each as the URI of its prefix.

    They are few, however many images and folders there are: of more than `at_most`, the deepest give way to
    the folders that they are in.
    """

    def __init__(self, keys: Iterable[str] = (), at_most: int = MAX_FOLDERS) -> None:
        self._folders: set[str] = set()
        self._at_most = at_most
        self._last = ""
        for key in keys:
            self.add(key)

    def add(self, key: str) -> None:
        """Take note of an image's key; those of the raw-data bucket are passed over."""
        if not is_referred(key):
            return
        folder = key[: key.rindex("/") + 1]
        if folder == self._last:
            return
        self._last = folder
        if folder not in self._folders and not self._is_covered(folder):
            self._folders.add(folder)
            if len(self._folders) > self._at_most:
                self._coarsen()

    def __iter__(self) -> Iterator[str]:
        """No folder comes that lies in another one."""
        return (folder for folder in sorted(self._folders) if not self._is_covered(folder))

    def _is_covered(self, folder: str) -> bool:
        return any(above in self._folders for above in _above(folder))

    def _coarsen(self) -> None:
        """Leaves half of them, so that this is rare, or whole buckets."""
        while len(self._folders) > self._at_most // 2:
            deepest = max(folder.count("/") for folder in self._folders)
            for folder in [each for each in self._folders if each.count("/") == deepest]:
                above = next(iter(_above(folder)), None)
                if above is None:
                    return
                self._folders.discard(folder)
                self._folders.add(above)


def _above(folder: str) -> Iterator[str]:
    """The folders that a folder is in, the nearest first; the last is the whole bucket."""
    end = folder.rfind("/", 0, -1)
    while end >= len(_SCHEME):
        yield folder[: end + 1]
        end = folder.rfind("/", 0, end)
