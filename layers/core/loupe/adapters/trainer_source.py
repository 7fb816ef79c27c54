"""The trainer's source as an archive for script mode. It is data here: nothing of it is imported."""

import gzip
import io
import tarfile
from importlib.resources import files


def trainer_source() -> bytes:
    """The modules of the package `trainer` as tar.gz; the same modules give the same bytes."""
    modules = {
        entry.name: entry.read_bytes() for entry in files("trainer").iterdir() if entry.name.endswith(".py")
    }
    archive = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=archive, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in sorted(modules.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()
