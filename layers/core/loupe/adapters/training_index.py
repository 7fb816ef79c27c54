"""Where each project's loop stands, in the index: item `PROJECT#<project>`, `LOOP`.

The item also has attributes of labeling (the open job), so every write changes single attributes.
"""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from loupe.adapters.table import ConditionFailed, IndexTable
from loupe.ports.loops import (
    Champion,
    HostingRecord,
    LastTraining,
    LoopRecord,
    Pause,
    Reconciliation,
    ServedModel,
    TrainingLock,
    WantedRelease,
)

_SK = "LOOP"


class LoopIndex:
    """Implements `loupe.ports.loops.KeepsLoops`."""

    def __init__(self, table: IndexTable) -> None:
        self._table = table

    def loop(self, project: str) -> LoopRecord:
        item = self._table.get(_pk(project), _SK) or {}
        training, champion, last = item.get("training"), item.get("champion"), item.get("last_training")
        return LoopRecord(
            training=_lock(training) if training else None,
            dataset_version=item.get("dataset_version"),
            champion=_champion(champion) if champion else None,
            last_training=_last_training(last) if last else None,
            waiting_for=item.get("waiting_for"),
            hosting=_hosting(item["hosting"]) if item.get("hosting") else None,
            release=_lock(item["release"]) if item.get("release") else None,
            wanted=_wanted(item["wanted"]) if item.get("wanted") else None,
            paused=_pause(item["paused"]) if item.get("paused") else None,
            last_called_at=datetime.fromisoformat(item["last_called_at"])
            if item.get("last_called_at")
            else None,
            reconciliation=_reconciliation(item["reconciliation"]) if item.get("reconciliation") else None,
        )

    def lock_training(self, project: str, lock: TrainingLock, instead_of: str | None = None) -> bool:
        return self._take("training", project, lock, instead_of)

    def unlock_training(self, project: str, execution: str) -> None:
        self._give_back("training", project, "execution", execution)

    def lock_release(self, project: str, lock: TrainingLock, instead_of: str | None = None) -> bool:
        return self._take("release", project, lock, instead_of)

    def unlock_release(self, project: str, execution: str) -> None:
        self._give_back("release", project, "execution", execution)

    def save_wanted(self, project: str, wanted: WantedRelease) -> None:
        self._save(project, "wanted", {**asdict(wanted), "at": wanted.at.isoformat()})

    def save_attempts(self, project: str, request: str, attempts: int) -> None:
        try:
            self._table.update(
                _pk(project),
                _SK,
                "SET #wanted.#attempts = :attempts",
                {"attempts": attempts, "request": request},
                condition="#wanted.#request = :request",
            )
        except ConditionFailed:
            return

    def drop_wanted(self, project: str, request: str) -> None:
        self._give_back("wanted", project, "request", request)

    def save_pause(self, project: str, pause: Pause | None) -> None:
        fields = {**asdict(pause), "since": pause.since.isoformat()} if pause else None
        self._save(project, "paused", fields)

    def _take(self, name: str, project: str, lock: TrainingLock, instead_of: str | None) -> bool:
        try:
            self._table.update(
                _pk(project),
                _SK,
                f"SET #{name} = :lock",
                {
                    "lock": {"execution": lock.execution, "started_at": lock.started_at.isoformat()},
                    "holder": instead_of or lock.execution,
                },
                condition=f"attribute_not_exists(#{name}) OR #{name}.#execution = :holder"
                if instead_of
                else f"attribute_not_exists(#{name})",
            )
        except ConditionFailed:
            held = (self._table.get(_pk(project), _SK) or {}).get(name)
            return held is not None and held["execution"] == lock.execution
        return True

    def _give_back(self, name: str, project: str, member: str, holder: str) -> None:
        try:
            self._table.update(
                _pk(project),
                _SK,
                f"REMOVE #{name}",
                {"holder": holder},
                condition=f"#{name}.#{member} = :holder",
            )
        except ConditionFailed:
            return

    def save_dataset_version(self, project: str, version: str) -> None:
        self._save(project, "dataset_version", version)

    def save_champion(self, project: str, champion: Champion) -> None:
        fields = {
            "version": champion.version,
            "score": champion.score,
            "model": asdict(champion.model),
            "endpoint_config": champion.endpoint_config,
            "model_package_arn": champion.model_package_arn,
            "promoted_at": champion.promoted_at.isoformat(),
            "test_images": champion.test_images,
            "interval": list(champion.interval) if champion.interval else None,
            "correlation_id": champion.correlation_id,
        }
        self._save(project, "champion", fields)

    def save_last_training(self, project: str, training: LastTraining) -> None:
        fields = {
            "version": training.version,
            "status": training.status,
            "reason": training.reason,
            "started_at": training.started_at.isoformat(),
            "ended_at": training.ended_at.isoformat() if training.ended_at else None,
            "execution": training.execution,
            "failed_attempts": list(training.failed_attempts),
        }
        self._save(project, "last_training", fields)

    def save_waiting_for(self, project: str, reason: str | None) -> None:
        self._save(project, "waiting_for", reason)

    def save_hosting(self, project: str, hosting: HostingRecord) -> None:
        self._save(project, "hosting", {**asdict(hosting), "since": hosting.since.isoformat()})

    def save_call(self, project: str, at: datetime) -> None:
        self._save(project, "last_called_at", at.isoformat())

    def save_reconciliation(self, project: str, reconciliation: Reconciliation) -> None:
        fields = {"at": reconciliation.at.isoformat(), "mended": reconciliation.mended}
        self._save(project, "reconciliation", fields)

    def _save(self, project: str, attribute: str, value: Any) -> None:
        self._table.update(_pk(project), _SK, f"SET #{attribute} = :value", {"value": value})


def _pk(project: str) -> str:
    return f"PROJECT#{project}"


def _lock(item: dict[str, Any]) -> TrainingLock:
    return TrainingLock(item["execution"], datetime.fromisoformat(item["started_at"]))


def _wanted(item: dict[str, Any]) -> WantedRelease:
    return WantedRelease(
        request=item["request"],
        version=item["version"],
        kind=item["kind"],
        by=item["by"],
        at=datetime.fromisoformat(item["at"]),
        attempts=int(item.get("attempts", 0)),
    )


def _pause(item: dict[str, Any]) -> Pause:
    return Pause(datetime.fromisoformat(item["since"]), item["by"], item["reason"])


def _champion(item: dict[str, Any]) -> Champion:
    images, interval = item.get("test_images"), item.get("interval")
    return Champion(
        version=item["version"],
        score=float(item["score"]),
        model=ServedModel.from_json(item["model"]),
        endpoint_config=item["endpoint_config"],
        model_package_arn=item["model_package_arn"],
        promoted_at=datetime.fromisoformat(item["promoted_at"]),
        test_images=None if images is None else int(images),
        interval=(float(interval[0]), float(interval[1])) if interval else None,
        correlation_id=item.get("correlation_id"),
    )


def _last_training(item: dict[str, Any]) -> LastTraining:
    return LastTraining(
        version=item["version"],
        status=item["status"],
        reason=item["reason"],
        started_at=datetime.fromisoformat(item["started_at"]),
        ended_at=datetime.fromisoformat(item["ended_at"]) if item["ended_at"] else None,
        execution=item["execution"],
        failed_attempts=tuple(item.get("failed_attempts", ())),
    )


def _hosting(item: dict[str, Any]) -> HostingRecord:
    most = item["max_units"]
    return HostingRecord(
        state=item["state"],
        since=datetime.fromisoformat(item["since"]),
        units=int(item["units"]),
        max_units=None if most is None else int(most),
    )


def _reconciliation(item: dict[str, Any]) -> Reconciliation:
    mended = {what: int(count) for what, count in item["mended"].items()}
    return Reconciliation(datetime.fromisoformat(item["at"]), mended)
