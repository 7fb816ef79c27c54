"""The loop on 800 digits in the local cloud: its memory while it trains, and what `predict` adds.

The handler of `predict` runs in a process of its own with the deployed function's environment, and in turn
with it the endpoint is called without the handler: what the handler adds is the difference.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext

from benchmarks._cloud import Cloud, deployed
from benchmarks._processes import PeakMemory
from cli.annotate import Annotator
from cli.digits import LABELS, Digit, load_digits, write_out
from cli.stack import ProjectStatus
from cli.upload import Uploader, find_images
from cli.wait import REACHED, wait_until
from local.home import inherited_environment
from loupe.domain.label_values import OneLabel

_PROJECT = "digits"
_DIGITS = 800
_CALLS = 200
_THREADS = 8
_ANSWERS_AT_A_TIME = 4
_WITHIN = 600.0


def run() -> Iterator[tuple[str, str, str]]:
    """Rows: what, measured, to reach or compare with."""
    cloud = deployed()
    digits = load_digits()
    _label(cloud, digits[:_DIGITS])
    begun = time.perf_counter()
    with PeakMemory(cloud.pid) as memory:
        status = _wait(cloud, "deployed")
    champion = status["champion"]
    assert champion is not None
    yield (
        f"local cloud with a training on {_DIGITS} digits, peak memory",
        f"{memory.megabytes:,.0f} MB in {memory.processes} processes",
        "under 3,000 MB",
    )
    yield (
        f"from the last label of {_DIGITS} digits to the endpoint",
        f"{time.perf_counter() - begun:.0f} s, score {champion['score']:.1%}",
        "training alone: under 90 s",
    )
    others = [digit.png() for digit in digits[_DIGITS : _DIGITS + _CALLS]]
    yield from _predictions(cloud, champion["endpoint"], others)


# The loop -------------------------------------------------------------------------------------------


def _label(cloud: Cloud, digits: list[Digit]) -> None:
    stack = cloud.session.stack
    cloud.configure(_PROJECT, list(LABELS), batch_size=len(digits))
    with tempfile.TemporaryDirectory() as scratch:
        write_out(digits, Path(scratch))
        images, _ = find_images(Path(scratch), f"{_PROJECT}/")
        Uploader(stack, [], _THREADS).run(images, lambda _: None)
    _wait(cloud, "labeling")
    worker = cloud.session.worker(None, None)
    labels = {f"{_PROJECT}/{digit.name}": OneLabel(digit.label) for digit in digits}
    portal = stack.sign_in(worker.name, worker.password)
    annotator = Annotator(
        portal, _PROJECT, lambda task: labels.get(task["image"]["name"]), _ANSWERS_AT_A_TIME, time.sleep
    )
    annotator.run(lambda _: None)


def _wait(cloud: Cloud, state: str) -> ProjectStatus:
    return wait_until(cloud.session, _PROJECT, REACHED[state], _WITHIN, lambda _: None)


# Predictions ----------------------------------------------------------------------------------------


def _predictions(cloud: Cloud, endpoint: str, images: list[bytes]) -> Iterator[tuple[str, str, str]]:
    handled, invoked = _in_process(cloud, endpoint, images)
    added = statistics.median(whole - own for whole, own in zip(handled, invoked, strict=True))
    yield (
        f"predict's handler, {len(images)} digits, median",
        f"{_median(handled)}; the endpoint alone {_median(invoked)}; added {added:.1f} ms",
        "at most 10 ms added",
    )
    stack, took = cloud.session.stack, []
    for image in images:
        begun = time.perf_counter()
        stack.predict(_PROJECT, image, "image/png")
        took.append((time.perf_counter() - begun) * 1000)
    yield (
        f"the REST call as a whole, {len(images)} digits",
        f"median {_median(took)}, p95 {statistics.quantiles(took, n=20)[-1]:.1f} ms",
        "API Gateway, Lambda and the endpoint as the emulator has them",
    )


def _in_process(cloud: Cloud, endpoint: str, images: list[bytes]) -> tuple[list[float], list[float]]:
    """Milliseconds of each call of the handler, and of the endpoint without it."""
    function = cloud.function("PredictFunction")["Environment"]["Variables"]
    environment = inherited_environment() | cloud.status.environment | function
    with tempfile.TemporaryDirectory() as scratch:
        for number, image in enumerate(images):
            (Path(scratch) / f"{number:04d}.png").write_bytes(image)
        command = [sys.executable, "-m", "benchmarks.cloud_digits", endpoint, scratch]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])  # the handler logs to standard output, too
    return found["handled"], found["invoked"]


def _measure(endpoint: str, folder: Path) -> dict[str, list[float]]:
    """What `_in_process` runs: both for each image in turn, after one of each that nobody counts."""
    api = import_module("functions.predict.handler")
    client = boto3.client("sagemaker-runtime")
    images = [path.read_bytes() for path in sorted(folder.iterdir())]

    def handle(image: bytes) -> None:
        answer = api.handler(_event(image), LambdaContext())
        assert answer["statusCode"] == 200, answer

    def invoke(image: bytes) -> None:
        client.invoke_endpoint(EndpointName=endpoint, Body=image, ContentType="image/png")["Body"].read()

    took: dict[str, list[float]] = {"handled": [], "invoked": []}
    for image in [images[0], *images]:
        for name, call in (("handled", handle), ("invoked", invoke)):
            begun = time.perf_counter()
            call(image)
            took[name].append((time.perf_counter() - begun) * 1000)
    return {name: milliseconds[1:] for name, milliseconds in took.items()}


def _event(image: bytes) -> dict[str, Any]:
    """What API Gateway hands to the function."""
    return {
        "httpMethod": "POST",
        "path": f"/v1/projects/{_PROJECT}/predictions",
        "headers": {"content-type": "image/png"},
        "multiValueHeaders": {},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "body": b64encode(image).decode(),
        "isBase64Encoded": True,
        "requestContext": {},
    }


def _median(milliseconds: list[float]) -> str:
    return f"{statistics.median(milliseconds):.1f} ms"


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], Path(sys.argv[2]))))
