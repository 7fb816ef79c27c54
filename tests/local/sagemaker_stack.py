"""A bucket, a role and clients for tests of the local SageMaker."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from tests.local.waiting import PATIENCE, until

if TYPE_CHECKING:
    from tests.local.conftest import LocalCloud

ENDED = ("Completed", "Failed", "Stopped")
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.8.0-cpu-py312"

TRAIN = """
import argparse, json, os, pathlib, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--factor", type=int)
parser.add_argument("--mode", default="work")
options = parser.parse_args()
data = pathlib.Path(os.environ["SM_CHANNEL_NUMBERS"])
print("epoch=1 validation:accuracy=0.25;")
print("epoch=2 validation:accuracy=0.75;")
if options.mode == "fail":
    pathlib.Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text("the numbers are odd")
    sys.exit(3)
if options.mode == "sleep":
    time.sleep(600)
if options.mode == "resume":
    kept = pathlib.Path(os.environ["CHECKPOINT_DIR"], "kept")
    if not kept.exists():
        kept.write_text("half of it")
        time.sleep(600)
    print("going on from", kept.read_text())
total = sum(int(path.read_text()) for path in data.rglob("*") if path.is_file())
model = pathlib.Path(os.environ["SM_MODEL_DIR"])
(model / "model.json").write_text(json.dumps({"total": total, "factor": options.factor}))
(model / "code").mkdir()
(model / "code" / "inference.py").write_text(pathlib.Path("inference.py").read_text())
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "evaluation.json").write_text("{}")
"""

INFERENCE = """
import json, os, pathlib
def model_fn(model_dir):
    return json.loads(pathlib.Path(model_dir, "model.json").read_text())
def input_fn(body, content_type):
    if content_type != "text/plain":
        raise ValueError("only text/plain, not " + content_type)
    return int(body)
def predict_fn(number, model):
    return {"answer": number * model["factor"] + model["total"]}
def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
"""


def archive(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


class Stack:
    """A bucket with a training script, an execution role, and clients."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.s3 = self.client("s3")
        self.sagemaker = self.client("sagemaker")
        self.runtime = self.client("sagemaker-runtime")
        self.bucket = f"work-{uuid.uuid4().hex[:8]}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.put("code/source.tar.gz", archive({"train.py": TRAIN, "inference.py": INFERENCE}))
        self.put("numbers/one", b"1")
        self.put("numbers/two and a half", b"2")
        self.put("lists/numbers.json", json.dumps([{"prefix": self.uri("numbers/")}, "one"]).encode())
        self.role = self.make_role(
            "sagemaker.amazonaws.com",
            [
                {"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:aws:s3:::{self.bucket}*"},
                {"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": "*"},
            ],
        )

    def client(self, service: str, **configuration: Any) -> Any:
        return self.cloud.session().client(  # type: ignore[call-overload]
            service, endpoint_url=self.cloud.endpoint_url, config=Config(**configuration)
        )

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def make_role(self, service: str, statements: list[dict[str, Any]]) -> str:
        iam = self.client("iam")
        name = f"role-{uuid.uuid4().hex[:8]}"
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
        }
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        policy = {"Version": "2012-10-17", "Statement": statements}
        iam.put_role_policy(RoleName=name, PolicyName="allow", PolicyDocument=json.dumps(policy))
        return arn

    def job(self, **changes: Any) -> dict[str, Any]:
        """Arguments of CreateTrainingJob; `mode` and `channel` vary the common case."""
        mode = changes.pop("mode", "work")
        source = changes.pop("source", {"S3DataType": "S3Prefix", "S3Uri": self.uri("numbers/")})
        return {
            "TrainingJobName": f"job-{uuid.uuid4().hex[:8]}",
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [
                    {"Name": "validation:accuracy", "Regex": r"validation:accuracy=([0-9.]+);"}
                ],
            },
            "RoleArn": self.role,
            "HyperParameters": {
                "sagemaker_program": '"train.py"',
                "sagemaker_submit_directory": json.dumps(self.uri("code/source.tar.gz")),
                "factor": "10",
                "mode": json.dumps(mode),
            },
            "InputDataConfig": [
                {
                    "ChannelName": "numbers",
                    "DataSource": {"S3DataSource": {"S3DataDistributionType": "FullyReplicated", **source}},
                }
            ],
            "OutputDataConfig": {"S3OutputPath": self.uri("models")},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "EnableNetworkIsolation": True,
            **changes,
        }

    def train(self, **changes: Any) -> dict[str, Any]:
        """The Describe document of a job that has ended."""
        request = self.job(**changes)
        self.sagemaker.create_training_job(**request)
        return self.ended(request["TrainingJobName"])

    def ended(self, name: str, within: float = PATIENCE) -> dict[str, Any]:
        def look() -> dict[str, Any]:
            job: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=name)
            return job

        return until(look, lambda job: job["TrainingJobStatus"] in ENDED, f"the end of {name}", within)

    def model(self, data_url: str, **variant: Any) -> str:
        """A model with an endpoint configuration of the same name; `variant` says what it runs on, else it is
        serverless."""
        name = f"model-{uuid.uuid4().hex[:8]}"
        runs_on = variant or {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 5}}
        self.sagemaker.create_model(
            ModelName=name,
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": data_url},
            ExecutionRoleArn=self.role,
        )
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[{"VariantName": "AllTraffic", "ModelName": name, **runs_on}],
        )
        return name

    def serving_model(self, inference: str, numbers: dict[str, int] | None = None, **variant: Any) -> str:
        """The same for a model that was not trained here: the script, and what it finds in model.json."""
        key = f"models/{uuid.uuid4().hex[:8]}.tar.gz"
        files = {"model.json": json.dumps(numbers or {}), "code/inference.py": inference}
        self.put(key, archive(files))
        return self.model(
            self.uri(key), **(variant or {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1})
        )

    def bare_model(self, job: dict[str, Any], image: str = IMAGE) -> str:
        """A model of a training job's artifacts, without anything that serves it."""
        name = f"model-{uuid.uuid4().hex[:8]}"
        self.sagemaker.create_model(
            ModelName=name,
            PrimaryContainer={"Image": image, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]},
            ExecutionRoleArn=self.role,
        )
        return name

    def transform_job(self, model: str, source: dict[str, str], **changes: Any) -> dict[str, Any]:
        name, content_type = f"job-{uuid.uuid4().hex[:8]}", changes.pop("content", "application/x-image")
        return {
            "TransformJobName": name,
            "ModelName": model,
            "TransformInput": {
                "DataSource": {"S3DataSource": source},
                "ContentType": content_type,
                "CompressionType": "None",
                "SplitType": "None",
            },
            "TransformOutput": {"S3OutputPath": self.uri(f"out/{name}"), "AssembleWith": "None"},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            **changes,
        }

    def transform(self, model: str, source: dict[str, str], **changes: Any) -> dict[str, Any]:
        request = self.transform_job(model, source, **changes)
        self.sagemaker.create_transform_job(**request)
        return self.transformed(request["TransformJobName"])

    def transformed(self, name: str) -> dict[str, Any]:
        def look() -> dict[str, Any]:
            job: dict[str, Any] = self.sagemaker.describe_transform_job(TransformJobName=name)
            return job

        return until(look, lambda job: job["TransformJobStatus"] in ENDED, f"the end of {name}")

    def outputs(self, job: dict[str, Any]) -> dict[str, bytes]:
        """Key below the output path -> content."""
        prefix = job["TransformOutput"]["S3OutputPath"].partition(f"{self.bucket}/")[2]
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return {
            item["Key"].removeprefix(f"{prefix}/"): self.s3.get_object(Bucket=self.bucket, Key=item["Key"])[
                "Body"
            ].read()
            for item in listed
        }

    def settled(self, endpoint: str) -> dict[str, Any]:
        def look() -> dict[str, Any]:
            found: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=endpoint)
            return found

        settled = ("InService", "Failed")
        return until(look, lambda found: found["EndpointStatus"] in settled, f"the endpoint {endpoint}")

    def ask(self, endpoint: str, number: int) -> Any:
        answer = self.runtime.invoke_endpoint(
            EndpointName=endpoint, Body=str(number).encode(), ContentType="text/plain"
        )
        return json.loads(answer["Body"].read())


def machine(stack: Stack, definition: dict[str, Any], allowed: list[dict[str, Any]]) -> str:
    states = stack.client("stepfunctions")
    arn: str = states.create_state_machine(
        name=f"machine-{uuid.uuid4().hex[:8]}",
        definition=json.dumps(definition),
        roleArn=stack.make_role("states.amazonaws.com", allowed),
    )["stateMachineArn"]
    return arn


def run(stack: Stack, machine_arn: str, data: dict[str, Any]) -> dict[str, Any]:
    states = stack.client("stepfunctions")
    execution = states.start_execution(stateMachineArn=machine_arn, input=json.dumps(data))["executionArn"]

    def look() -> dict[str, Any]:
        found: dict[str, Any] = states.describe_execution(executionArn=execution)
        return found

    return until(look, lambda found: found["status"] != "RUNNING", "the end of the execution")
