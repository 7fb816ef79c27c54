"""What a training script finds: arguments, variables and files, as in SageMaker's containers."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from local.sagemaker.script_mode import (
    Folders,
    Script,
    ScriptError,
    arguments,
    environment,
    parse,
    unpack,
    write_configuration,
)

REQUEST = {
    "TrainingJobName": "digits-0001",
    "AlgorithmSpecification": {"TrainingInputMode": "File"},
    "HyperParameters": {
        "sagemaker_program": '"train.py"',
        "sagemaker_submit_directory": "s3://b/source.tar.gz",
        "epochs": "3",
        "learning-rate": "0.1",
        "name": "plain text",
        "tags": '["a", "b"]',
    },
    "InputDataConfig": [{"ChannelName": "images"}, {"ChannelName": "dataset", "InputMode": "FastFile"}],
    "ResourceConfig": {"InstanceType": "ml.g5.xlarge"},
    "Environment": {"LOUPE_EXTRA": "yes", "CHECKPOINTS": "/opt/ml/checkpoints"},
}


def test_hyperparameters_are_decoded_and_the_toolkits_own_taken_out() -> None:
    script = parse(REQUEST["HyperParameters"])  # type: ignore[arg-type]
    assert (script.program, script.source) == ("train.py", "s3://b/source.tar.gz")
    assert script.hyperparameters == {
        "epochs": 3,
        "learning-rate": 0.1,
        "name": "plain text",
        "tags": ["a", "b"],
    }


def test_a_request_without_a_script_says_what_is_missing() -> None:
    with pytest.raises(ScriptError, match="sagemaker_program"):
        parse({"epochs": "3"})


def test_arguments_are_named_and_in_order() -> None:
    given = {"seed": 7, "epochs": 3, "v": True, "tags": ["a"]}
    assert arguments(given) == ["--epochs", "3", "--seed", "7", "--tags", '["a"]', "-v", "True"]


def test_the_environment_has_the_variables_of_the_training_toolkit(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "job")
    folders.create()
    write_configuration(folders, REQUEST)
    script = Script("train.py", "s3://b/source.tar.gz", {"epochs": 3, "learning-rate": 0.1})
    found = environment(folders, script, REQUEST)
    assert found["SM_MODEL_DIR"] == str(folders.model)
    assert found["SM_OUTPUT_DATA_DIR"] == str(folders.output_data)
    assert found["SM_CHANNEL_IMAGES"] == str(folders.channel("images"))
    assert json.loads(found["SM_CHANNELS"]) == ["dataset", "images"]
    assert json.loads(found["SM_HPS"]) == {"epochs": 3, "learning-rate": 0.1}
    assert json.loads(found["SM_HOSTS"]) == [found["SM_CURRENT_HOST"]]
    assert found["SM_HP_LEARNING-RATE"] == "0.1"
    assert found["LOUPE_EXTRA"] == "yes"
    assert found["CHECKPOINTS"] == str(folders.checkpoints)
    assert int(found["SM_NUM_CPUS"]) >= 1
    assert found["SM_NUM_GPUS"].isdecimal()


def test_the_three_configuration_files_are_those_of_a_container(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "job")
    folders.create()
    write_configuration(folders, REQUEST)
    read = {path.stem: json.loads(path.read_text()) for path in folders.config.iterdir()}
    assert read["hyperparameters"] == REQUEST["HyperParameters"]
    assert read["inputdataconfig"]["dataset"]["TrainingInputMode"] == "FastFile"
    assert read["resourceconfig"]["hosts"] == [read["resourceconfig"]["current_host"]]


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    archive = tmp_path / "source.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo("../outside")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(ScriptError, match=r"cannot unpack source\.tar\.gz"):
        unpack(archive, tmp_path / "code")
    assert not (tmp_path / "outside").exists()


def test_what_is_no_archive_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "source.tar.gz").write_bytes(b"not a tar")
    with pytest.raises(ScriptError, match="cannot unpack"):
        unpack(tmp_path / "source.tar.gz", tmp_path / "code")


def test_a_job_without_a_network_finds_its_source_in_a_channel(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    expected = folders.channel("code") / "sourcedir.tar.gz"
    assert folders.in_container("/opt/ml/input/data/code/sourcedir.tar.gz") == expected
    assert folders.in_container("s3://b/source.tar.gz") is None
