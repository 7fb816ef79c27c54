"""What runs in the place of an inference container: a model's own `code/inference.py` behind HTTP.

    python -m local.sagemaker.container --model-dir FOLDER --port-file FILE [--algorithm NAME]

Follows sagemaker-inference-toolkit: `model_fn`, `input_fn`, `predict_fn` and `output_fn`, or `transform_fn`
in place of the last three, each with or without a last parameter `context`; `GET /ping` answers 200 once the
model is loaded, `POST /invocations` predicts. An error of the script's own answers with its `status_code`,
any other fault with 500. With `--algorithm` it answers as that built-in algorithm does, from the archive of
its stand-in.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from flask import Flask, Response, request
from waitress import create_server  # type: ignore[import-untyped]

from local.sagemaker.builtin.serving import BuiltinHandler, describe, is_batch, network_folder

logger = logging.getLogger("container")

_JSON = "application/json"
_ANY = "*/*"
_THREADS = 4


class UnsupportedFormatError(Exception):
    """Nothing here can read or write that content type."""

    status_code = 415


class Answers(Protocol):
    """A model behind HTTP."""

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """Body and content type. Errors may have a `status_code`."""


class Handler:
    """The script's functions, with the toolkit's defaults in the place of what it leaves out."""

    def __init__(self, script: ModuleType, model_dir: str) -> None:
        self._transform: Callable[..., Any] | None = getattr(script, "transform_fn", None)
        self._input: Callable[..., Any] = getattr(script, "input_fn", default_input)
        self._predict: Callable[..., Any] = getattr(script, "predict_fn", default_predict)
        self._output: Callable[..., Any] = getattr(script, "output_fn", default_output)
        model_fn = getattr(script, "model_fn", None)
        if model_fn is None:
            raise AttributeError(f"{script.__name__} has no model_fn")
        self._model = _call(model_fn, model_dir)

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """Body and content type."""
        accept = _JSON if accept == _ANY else accept
        if self._transform is not None:
            result = _call(self._transform, self._model, body, content_type, accept)
        else:
            result = _call(self._output, self.predict(body, content_type), accept)
        answer, answer_type = result if isinstance(result, tuple) else (result, accept)
        return (answer.encode() if isinstance(answer, str) else bytes(answer)), answer_type

    def predict(self, body: bytes, content_type: str) -> Any:
        """What the script predicts, before it becomes an answer."""
        return _call(self._predict, _call(self._input, body, content_type), self._model)


def default_input(body: bytes, content_type: str) -> Any:
    if content_type.partition(";")[0] != _JSON:
        raise UnsupportedFormatError(f"Content type {content_type} is not supported by this framework.")
    return json.loads(body)


def default_predict(data: Any, model: Callable[[Any], Any]) -> Any:
    return model(data)


def default_output(prediction: Any, accept: str) -> str:
    if accept != _JSON:
        raise UnsupportedFormatError(f"Accept type {accept} is not supported by this framework.")
    return json.dumps(prediction)


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Toolkit scripts may take one more parameter, the serving context; there is none here."""
    takes_context = len(inspect.signature(function).parameters) > len(arguments)
    return function(*arguments, None) if takes_context else function(*arguments)


def load_script(model_dir: Path, program: str) -> ModuleType:
    code = model_dir / "code"
    sys.path.insert(0, str(code))
    spec = importlib.util.spec_from_file_location(Path(program).stem, code / program)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"code/{program} is not in the model archive")
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script
    spec.loader.exec_module(script)
    return script


def application(handler: Answers) -> Flask:
    app = Flask("container")

    @app.get("/ping")
    def ping() -> Response:
        return Response(status=200)

    @app.post("/invocations")
    def invocations() -> Response:
        content_type = request.headers.get("Content-Type", _JSON)
        try:
            body, answer_type = handler.answer(
                request.get_data(), content_type, request.headers.get("Accept", _ANY)
            )
        except Exception as error:
            logger.exception("The request failed")
            status = getattr(error, "status_code", 500)
            text = str(error) if status != 500 else f"{error}\n{traceback.format_exc()}"
            return Response(text, status=status, content_type="text/plain")
        return Response(body, content_type=answer_type)

    return app


def load_handler(model_dir: Path, algorithm: str | None) -> Answers:
    """What answers for an unpacked archive, as the algorithm or as its own script."""
    if algorithm is None:
        script = load_script(model_dir, os.environ.get("SAGEMAKER_PROGRAM", "inference.py"))
        return Handler(script, str(model_dir))
    description, network = describe(model_dir, algorithm), network_folder(model_dir)
    script = load_script(network, "inference.py")
    return BuiltinHandler(description, Handler(script, str(network)), is_batch=is_batch())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--algorithm")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    handler = load_handler(arguments.model_dir, arguments.algorithm)
    server = create_server(application(handler), host="127.0.0.1", port=0, threads=_THREADS)
    draft = arguments.port_file.with_suffix(".new")
    draft.write_text(str(server.effective_port), encoding="utf-8")
    draft.replace(arguments.port_file)
    server.run()


if __name__ == "__main__":
    main()
