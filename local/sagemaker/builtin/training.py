"""Training of a built-in algorithm's stand-in: Loupe's trainer on the algorithm's data.

The archive that comes out holds `algorithm.json` and, below `network/`, what the trainer wrote; so it serves
behind the algorithm's image only, like the algorithm's own.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from local import trainer
from local.sagemaker import script_mode
from local.sagemaker.builtin import data
from local.sagemaker.builtin.algorithms import Algorithm, Contract, check_request, read_request
from local.sagemaker.jobs import JobFailedError
from local.sagemaker.platform import Storage
from local.sagemaker.script_mode import Folders
from local.sagemaker.store import Document
from local.sagemaker.workloads import Process

DESCRIPTION = "algorithm.json"
NETWORK = "network"
_EPOCH = re.compile(r"epoch (?P<number>\d+)/")
_FIGURE = re.compile(r"(?P<name>\w+:\w+)=(?P<value>[0-9.]+);")
_BATCH_SIZES = (2, 4096)
_EPOCHS = 10_000


class BuiltinWorkload:
    """A stand-in for an algorithm; the request is checked at once as far as CreateTrainingJob checks it."""

    def __init__(self, algorithm: Algorithm, request: Document) -> None:
        """Raises ValidationError or NotAvailableError."""
        check_request(request)
        self._algorithm = algorithm
        self._request = request
        self._contract: Contract | None = None
        self._dataset: data.Dataset | None = None
        self._notices = [
            f"This is a stand-in for the built-in algorithm {algorithm.name}: the local cloud trains Loupe's "
            "own network instead, with the same channels, hyperparameters and answers. Of the "
            "hyperparameters, epochs and mini_batch_size reach it. Its figures say nothing about the "
            "algorithm's."
        ]

    @property
    def status_message(self) -> str:
        return (
            "Training image download completed. Training in progress. "
            f"(Local cloud: a stand-in for {self._algorithm.name} that trains Loupe's own network.)"
        )

    @property
    def metrics(self) -> Sequence[Mapping[str, str]]:
        return self._algorithm.metrics

    def prepare(self, folders: Folders, storage: Storage) -> None:
        contract = read_request(self._algorithm, self._request)
        channels = {"train": contract.train, "validation": contract.validation}
        samples = {
            name: data.read_samples(channel, storage.read(channel.manifest), contract)
            for name, channel in channels.items()
        }
        data.check_count(contract, samples["train"])
        if contract.base_model is not None:
            self._check_base(contract, folders, storage)
        self._contract = contract
        self._dataset = data.write_dataset(folders.root / "converted", contract, samples, storage)
        self._notice_unlearned(contract, self._dataset)

    def process(self, folders: Folders, storage: Storage, endpoint_url: str) -> Process:
        del storage, endpoint_url  # the algorithm reads its channels only
        contract, dataset = self._prepared()
        smallest, largest = _BATCH_SIZES
        arguments = {
            "epochs": min(contract.number("epochs"), _EPOCHS),
            "batch-size": max(smallest, min(contract.number("mini_batch_size"), largest)),
            "seed": contract.seed,
        }
        for folder in (self._network(folders), self._scratch(folders)):
            folder.mkdir(parents=True)
        environment = {"TRAINING_JOB_NAME": self._request["TrainingJobName"]} | trainer.environment(
            dataset=dataset.dataset,
            copies=dataset.copies,
            model=self._network(folders),
            results=self._scratch(folders),
            failure=folders.output,
            checkpoints=folders.checkpoints,
        )
        command = [sys.executable, str(trainer.PROGRAM), *script_mode.arguments(arguments)]
        return Process(command, trainer.PROGRAM.parent, environment)

    def output(self, line: str) -> list[str]:
        """The trainer's line and, for an epoch, the algorithm's way to say its metrics."""
        before, self._notices = self._notices, []
        return [*before, line, *metric_lines(self._algorithm.name, line)]

    def finish(self, folders: Folders) -> None:
        contract, dataset = self._prepared()
        if not any(self._network(folders).iterdir()):
            return
        self._network(folders).rename(folders.model / NETWORK)
        description = {
            "algorithm": self._algorithm.name,
            "hyperparameters": dict(contract.values),
            "classes": list(dataset.classes),
        }
        (folders.model / DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")

    def _prepared(self) -> tuple[Contract, data.Dataset]:
        if self._contract is None or self._dataset is None:
            raise RuntimeError("the workload is not prepared")
        return self._contract, self._dataset

    @staticmethod
    def _network(folders: Folders) -> Path:
        return folders.root / NETWORK

    @staticmethod
    def _scratch(folders: Folders) -> Path:
        """For what the trainer writes besides the model, and the algorithm doesn't."""
        return folders.root / "scratch"

    def _check_base(self, contract: Contract, folders: Folders, storage: Storage) -> None:
        """Raises JobFailedError if the model to go on from is of another architecture."""
        archive, unpacked = folders.root / "base.tar.gz", folders.root / "base"
        storage.download(str(contract.base_model), archive)
        script_mode.unpack(archive, unpacked)
        base = read_description(unpacked)
        if base is None or base["algorithm"] != self._algorithm.name:
            raise JobFailedError(
                f"ClientError: The channel 'model' holds no model that {self._algorithm.name} trained"
            )
        for name in self._algorithm.architecture:
            if base["hyperparameters"].get(name) != contract.values.get(name):
                raise JobFailedError(
                    f"ClientError: {name} is {contract.values.get(name)}, but the model in the channel "
                    f"'model' was trained with {base['hyperparameters'].get(name)}"
                )
        self._notices.append(
            "The model of the channel 'model' fits; the stand-in starts from random weights nevertheless."
        )

    def _notice_unlearned(self, contract: Contract, dataset: data.Dataset) -> None:
        unlearned = sorted(set(range(contract.number("num_classes"))) - set(dataset.classes))
        if unlearned:
            listed = ", ".join(map(str, unlearned))
            self._notices.append(f"Without training images, and never answered: the classes {listed}")


def read_description(model: Path) -> Document | None:
    """`algorithm.json` of an unpacked archive, or None if it has none."""
    try:
        description: Document = json.loads((model / DESCRIPTION).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return description


def metric_lines(algorithm: str, line: str) -> list[str]:
    """What the algorithm would print for an epoch that the trainer reports in `line`; else nothing."""
    epoch = _EPOCH.match(line)
    if epoch is None:
        return []
    number = int(epoch["number"]) - 1
    figures = {found["name"]: found["value"] for found in _FIGURE.finditer(line)}
    if algorithm == "object-detection":
        score = figures.get("validation:mAP")
        if score is None:
            return []
        return [f"#quality_metric: host=algo-1, epoch={number}, validation mAP <score>=({score})"]
    score = figures.get("validation:accuracy")
    return [] if score is None else [f"Epoch[{number}] Validation-accuracy={score}"]
