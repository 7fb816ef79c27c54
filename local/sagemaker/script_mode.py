"""The contract of SageMaker's script mode: the folders, files, variables and arguments that a script gets.

On SageMaker all of it lies under /opt/ml; here under a folder of the job's own, so a script has to take its
paths from the SM_ variables, as scripts for SageMaker do.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HOST = "algo-1"
_TOOLKIT = "sagemaker_"
_CONTAINER_ROOT = "/opt/ml/"


class ScriptError(Exception):
    """The request or the source archive is not one of script mode; the text is for a FailureReason."""


@dataclass(frozen=True)
class Folders:
    """Stands for /opt/ml."""

    root: Path

    @property
    def code(self) -> Path:
        return self.root / "code"

    @property
    def config(self) -> Path:
        return self.root / "input" / "config"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def output_data(self) -> Path:
        return self.output / "data"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def failure(self) -> Path:
        return self.output / "failure"

    def channel(self, name: str) -> Path:
        return self.root / "input" / "data" / name

    def in_container(self, path: str) -> Path | None:
        """The file that a container knows as `path`, if it is one below /opt/ml."""
        return self.root / path.removeprefix(_CONTAINER_ROOT) if path.startswith(_CONTAINER_ROOT) else None

    def create(self) -> None:
        for folder in (self.code, self.config, self.model, self.output_data, self.checkpoints):
            folder.mkdir(parents=True)


@dataclass(frozen=True)
class Script:
    program: str
    source: str
    """The tar.gz with the program: an S3 URI or, for a job without a network, a file of a channel."""
    hyperparameters: dict[str, Any]
    """The user's own, decoded: a value that is JSON becomes what it says, any other stays a string."""


def parse(hyperparameters: Mapping[str, str]) -> Script:
    """Raises ScriptError if the request has no script."""
    decoded = {name: _decoded(value) for name, value in hyperparameters.items()}
    program, source = decoded.get("sagemaker_program"), decoded.get("sagemaker_submit_directory")
    if not isinstance(program, str) or not isinstance(source, str):
        raise ScriptError(
            "the local cloud runs training scripts: the hyperparameters sagemaker_program and "
            "sagemaker_submit_directory must name the script and its archive, on S3 or in a channel"
        )
    own = {name: value for name, value in decoded.items() if not name.startswith(_TOOLKIT)}
    return Script(program, source, own)


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def unpack(archive: Path, folder: Path) -> None:
    """Raises ScriptError if it is no tar.gz or reaches outside the folder."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ScriptError(f"cannot unpack {archive.name}: {error}") from error


def write_configuration(folders: Folders, request: Mapping[str, Any]) -> None:
    """The three files below input/config, as the container finds them."""
    channels = {
        channel["ChannelName"]: {
            "TrainingInputMode": channel.get(
                "InputMode", request["AlgorithmSpecification"]["TrainingInputMode"]
            ),
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        }
        for channel in request.get("InputDataConfig", [])
    }
    contents = {
        "hyperparameters": request.get("HyperParameters", {}),
        "inputdataconfig": channels,
        "resourceconfig": _resources(request),
    }
    for name, content in contents.items():
        (folders.config / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def _resources(request: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "current_host": _HOST,
        "hosts": [_HOST],
        "current_instance_type": request["ResourceConfig"].get("InstanceType", ""),
        "current_group_name": "homogeneousCluster",
        "network_interface_name": "lo",
    }


def environment(folders: Folders, script: Script, request: Mapping[str, Any]) -> dict[str, str]:
    """The variables of sagemaker-training-toolkit, and those that the request sets itself: where these name a
    folder of the container, they get the one that stands for it."""
    channels = sorted(channel["ChannelName"] for channel in request.get("InputDataConfig", []))
    cpus, gpus = len(os.sched_getaffinity(0)), len(list(Path("/dev").glob("nvidia[0-9]*")))
    variables: dict[str, Any] = {
        "SM_CHANNELS": channels,
        "SM_CURRENT_HOST": _HOST,
        "SM_CURRENT_INSTANCE_TYPE": request["ResourceConfig"].get("InstanceType", ""),
        "SM_HOSTS": [_HOST],
        "SM_HPS": script.hyperparameters,
        "SM_INPUT_CONFIG_DIR": folders.config,
        "SM_INPUT_DATA_CONFIG": json.loads((folders.config / "inputdataconfig.json").read_text("utf-8")),
        "SM_INPUT_DIR": folders.root / "input",
        "SM_LOG_LEVEL": 20,
        "SM_MODEL_DIR": folders.model,
        "SM_MODULE_DIR": script.source,
        "SM_MODULE_NAME": script.program.removesuffix(".py"),
        "SM_NETWORK_INTERFACE_NAME": "lo",
        "SM_NUM_CPUS": cpus,
        "SM_NUM_GPUS": gpus,
        "SM_OUTPUT_DATA_DIR": folders.output_data,
        "SM_OUTPUT_DIR": folders.output,
        "SM_OUTPUT_INTERMEDIATE_DIR": folders.output / "intermediate",
        "SM_RESOURCE_CONFIG": _resources(request),
        "SM_USER_ARGS": arguments(script.hyperparameters),
        "SM_USER_ENTRY_POINT": script.program,
        "OMP_NUM_THREADS": cpus,
        "PYTHONUNBUFFERED": 1,
        "TRAINING_JOB_NAME": request["TrainingJobName"],
    }
    variables |= {f"SM_CHANNEL_{name.upper()}": folders.channel(name) for name in channels}
    variables |= {f"SM_HP_{name.upper()}": value for name, value in script.hyperparameters.items()}
    own = {
        name: str(folders.in_container(value) or value)
        for name, value in request.get("Environment", {}).items()
    }
    return {name: _text(value) for name, value in variables.items()} | own


def arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """`--name value` for each, in order of name; `-n value` for names of one letter."""
    pairs = ((f"--{name}" if len(name) > 1 else f"-{name}", value) for name, value in hyperparameters.items())
    return [part for name, value in sorted(pairs, key=lambda pair: pair[0]) for part in (name, _text(value))]


def command(script: Script) -> list[str]:
    """Run in the folder of the code."""
    return [sys.executable, script.program, *arguments(script.hyperparameters)]


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value)
