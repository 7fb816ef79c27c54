"""Where a local cloud keeps its state, and the credentials that its clients use."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Credentials:
    """The administrator's keys: whoever holds them may do everything in this local cloud."""

    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True)
class Home:
    """The folder of one local cloud (`LOUPE_HOME`); nothing outside it is written."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> Home:
        return cls(path.resolve())

    @property
    def objects(self) -> Path:
        """S3 objects, one file each."""
        return self.root / "objects"

    @property
    def state(self) -> Path:
        """Everything else that the emulator keeps: snapshots, code blobs, signing keys."""
        return self.root / "state"

    @property
    def sagemaker(self) -> Path:
        return self.root / "sagemaker"

    @property
    def rekognition(self) -> Path:
        return self.root / "rekognition"

    @property
    def autoscaling(self) -> Path:
        return self.root / "autoscaling"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def temporary(self) -> Path:
        """Emptied at every start: unpacked functions, and what a killed process left behind."""
        return self.root / "tmp"

    @property
    def lock_file(self) -> Path:
        """Locked for as long as a server runs here; holds its address as JSON."""
        return self.root / "cloud.lock"

    @property
    def credentials_file(self) -> Path:
        return self.root / "credentials.json"

    def create(self) -> None:
        services = (self.sagemaker, self.rekognition, self.autoscaling)
        for folder in (self.root, self.objects, self.state, *services, self.logs, self.temporary):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def credentials(self) -> Credentials:
        """The administrator's keys, drawn once for this folder."""
        if not self.credentials_file.exists():
            drawn = {"access_key_id": "AKIALOUPELOCALADMIN0", "secret_access_key": secrets.token_urlsafe(30)}
            draft = self.credentials_file.with_suffix(".new")
            draft.touch(mode=0o600)
            draft.write_text(json.dumps(drawn), encoding="utf-8")
            draft.replace(self.credentials_file)
        return Credentials(**json.loads(self.credentials_file.read_text(encoding="utf-8")))


def endpoint_url(port: int) -> str:
    return f"http://{HOST}:{port}"


def client_environment(credentials: Credentials, port: int) -> dict[str, str]:
    """The variables that make boto3, the AWS CLI and SAM talk to the local cloud as its administrator."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url(port),
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_SESSION_TOKEN": "",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAM_CLI_TELEMETRY": "0",
    }


def inherited_environment() -> dict[str, str]:
    """This process's environment without anything that speaks of AWS or of another emulator."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "MINISTACK_", "LAMBDA_", "LOCALSTACK_", "SM_", "SAGEMAKER_"))
    }
