"""The ingest queue in memory."""

from collections.abc import Iterable


class FakeIngestQueue:
    """Implements `loupe.ports.images.RequestsLooks`. `asked` has the project and key of each look."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    @property
    def keys(self) -> list[str]:
        return [key for _, key in self.asked]

    def request(self, project: str, keys: Iterable[str]) -> int:
        asked = [(project, key) for key in keys]
        self.asked += asked
        return len(asked)
