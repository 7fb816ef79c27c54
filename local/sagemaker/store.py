"""Resources on disk: a JSON file each, written before the request is answered."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Document = dict[str, Any]


@dataclass
class Record:
    """`document` is what Describe answers (times as epoch seconds); `inner` is the service's own business."""

    document: Document
    inner: Document = field(default_factory=dict)


class Store:
    """The resources of one kind by name. Not locked: the service that owns it serializes access."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._records: dict[str, Record] = {}
        for path in sorted(folder.glob("*.json")):
            saved = json.loads(path.read_text(encoding="utf-8"))
            self._records[saved["name"]] = Record(saved["document"], saved["inner"])

    def get(self, name: str) -> Record | None:
        return self._records.get(name)

    def put(self, name: str, record: Record) -> None:
        saved = {"name": name, "document": record.document, "inner": record.inner}
        path = self._path(name)
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(saved), encoding="utf-8")
        draft.replace(path)
        self._records[name] = record

    def remove(self, name: str) -> None:
        self._path(name).unlink()
        del self._records[name]

    def __contains__(self, name: object) -> bool:
        return name in self._records

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        return iter(list(self._records.items()))

    def _path(self, name: str) -> Path:
        return self._folder / f"{urllib.parse.quote(name, safe='')}.json"
