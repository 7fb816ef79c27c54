"""Tags of any resource, by its ARN."""

from __future__ import annotations

import threading
from pathlib import Path

from local.sagemaker.store import Document, Record, Store


class Tags:
    def __init__(self, folder: Path) -> None:
        self._store = Store(folder / "tags")
        self._lock = threading.Lock()

    def add(self, request: Document) -> Document:
        with self._lock:
            tags = self._of(request["ResourceArn"]) | {tag["Key"]: tag["Value"] for tag in request["Tags"]}
            self._store.put(request["ResourceArn"], Record(tags))
        return {"Tags": _listed(tags)}

    def delete(self, request: Document) -> Document:
        with self._lock:
            gone = set(request["TagKeys"])
            tags = {key: value for key, value in self._of(request["ResourceArn"]).items() if key not in gone}
            self._store.put(request["ResourceArn"], Record(tags))
        return {}

    def list_all(self, request: Document) -> Document:
        return {"Tags": _listed(self._of(request["ResourceArn"]))}

    def keep(self, request: Document, answer: Document) -> None:
        """The tags that a Create request brings along; its answer is the new ARN."""
        if request.get("Tags") and "ResourceArn" not in request:
            for member, value in answer.items():
                if member.endswith("Arn"):
                    self.add({"ResourceArn": value, "Tags": request["Tags"]})

    def forget(self, resource: str) -> None:
        """The resource is gone; one that gets its name later starts without tags."""
        with self._lock:
            if resource in self._store:
                self._store.remove(resource)

    def _of(self, resource: str) -> dict[str, str]:
        record = self._store.get(resource)
        return dict(record.document) if record else {}


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
