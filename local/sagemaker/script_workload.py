"""Training with a script of the user's own, as SageMaker's framework containers do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from local.home import REGION
from local.sagemaker import channels, script_mode
from local.sagemaker.errors import ValidationError
from local.sagemaker.platform import Storage
from local.sagemaker.script_mode import Folders
from local.sagemaker.store import Document
from local.sagemaker.workloads import Process


class ScriptWorkload:
    """The script that a request's `sagemaker_program` names."""

    status_message = "Training image download completed. Training in progress."

    def __init__(self, request: Document) -> None:
        """Raises ValidationError if the request has no script, NotAvailableError for what can't be given."""
        algorithm = request["AlgorithmSpecification"]
        for channel in request.get("InputDataConfig", []):
            channels.check(channel, algorithm["TrainingInputMode"])
        try:
            self._script = script_mode.parse(request.get("HyperParameters", {}))
        except script_mode.ScriptError as error:
            raise ValidationError(str(error)) from error
        self._request = request
        self.metrics: Sequence[Mapping[str, Any]] = algorithm.get("MetricDefinitions", [])

    def prepare(self, folders: Folders, storage: Storage) -> None:
        for channel in self._request.get("InputDataConfig", []):
            channels.fill(channel, folders.channel(channel["ChannelName"]), storage)
        archive = folders.in_container(self._script.source)
        if archive is None:
            archive = folders.root / "sourcedir.tar.gz"
            storage.download(self._script.source, archive)
        script_mode.unpack(archive, folders.code)
        script_mode.write_configuration(folders, self._request)

    def process(self, folders: Folders, storage: Storage, endpoint_url: str) -> Process:
        variables = script_mode.environment(folders, self._script, self._request)
        if not self._request.get("EnableNetworkIsolation", False):
            variables |= {name.upper(): value for name, value in storage.keys.items()}
            variables |= {"AWS_ENDPOINT_URL": endpoint_url, "AWS_REGION": REGION}
        return Process(script_mode.command(self._script), folders.code, variables)

    def output(self, line: str) -> list[str]:
        return [line]

    def finish(self, folders: Folders) -> None:
        """A script has written its results where they belong."""
