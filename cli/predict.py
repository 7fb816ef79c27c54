"""`loupe predict`: asks a project's champion about images."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from cli import drawing
from cli.console import json_option, out, print_json
from cli.errors import ApiProblem, CommandFault
from cli.session import PROJECT, Session, pass_session
from cli.stack import Json
from loupe.domain.images.inspection import ImageRejected, media_type

MAX_IMAGE_BYTES = 4_500_000
SHOWN = 3
"""Labels or boxes of an image that a line has room for."""


def ask(session: Session, name: str, image: str) -> Json:
    """The API's answer for a file or an `s3://` URI. Raises CommandFault."""
    if image.startswith("s3://"):
        return session.stack.predict(name, json.dumps({"s3_uri": image}).encode(), "application/json")
    try:
        body = Path(image).read_bytes()
    except OSError as error:
        raise CommandFault(f"can't be read: {error.strerror}") from error
    if len(body) > MAX_IMAGE_BYTES:
        raise CommandFault(
            f"has {len(body):,} bytes; the API takes images of at most {MAX_IMAGE_BYTES:,}. Store it with "
            f"`loupe upload`, then name it by its URI: s3://{session.stack.raw_data_bucket}/{name}/..."
        )
    try:
        content_type = media_type(body)
    except ImageRejected as rejected:
        raise CommandFault(rejected.detail) from rejected
    return session.stack.predict(name, body, content_type)


class Drawings:
    """Where the answers of a call are drawn into their images: a file, or a folder of files."""

    def __init__(self, out: Path, images: Sequence[str]) -> None:
        """Raises CommandFault."""
        uris = [image for image in images if image.startswith("s3://")]
        if uris:
            raise CommandFault(f"--draw takes files, and {uris[0]} is none; download it first.")
        self.out = out
        self.targets: set[Path] = set()
        self._count = len(images)
        drawing.target_of(images[0], out, self._count, self.targets)

    def add(self, image: str, answer: Json) -> Path:
        """The file that it was drawn to. Raises CommandFault."""
        target = drawing.target_of(image, self.out, self._count, self.targets)
        drawing.save(drawing.draw(Path(image).read_bytes(), answer, in_words(answer)), target)
        self.targets.add(target)
        return target


@click.command()
@click.argument("name", type=PROJECT)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option(
    "--draw",
    metavar="OUT",
    type=click.Path(path_type=Path),
    help="Draw each answer into its image: a .png or .jpg file for one image, a folder for several.",
)
@json_option
@pass_session
def predict(session: Session, name: str, images: tuple[str, ...], draw: Path | None, as_json: bool) -> None:
    """Ask the project NAME's model about each IMAGE: a file, or an s3://bucket/key of the project.

    With --json, prints an object a line: {"file": ..., and the API's answer}, or {"file": ..., "error": ...}.
    Ends with exit code 1 if any image has no answer.

    \b
    Examples:
      loupe predict parts photo.jpg
      loupe predict parts *.png --json
      loupe predict bolts *.jpg --draw answers/
    """
    drawings = Drawings(draw, images) if draw is not None else None
    rows: list[tuple[str, str]] = []
    failed = 0
    for image in images:
        try:
            answer = ask(session, name, image)
            if drawings is not None:
                answer["drawn"] = str(drawings.add(image, answer))
        except CommandFault as fault:
            if isinstance(fault, ApiProblem) and fault.slug == "project-not-found":
                raise session.unknown_project(name) from fault
            failed += 1
            answer = {"error": fault.message}
        if as_json:
            print_json({"file": image, **answer})
        else:
            rows.append((image, in_words(answer)))
    if rows:
        table = Table("image", "prediction", box=None, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        out().print(table)
    if drawings is not None and drawings.targets and not as_json:
        out().print(f"Drawn into {drawings.out}", markup=False)
    if failed:
        raise CommandFault(f"{failed} of {len(images)} images have no answer.")


def in_words(answer: Json) -> str:
    """An answer of the API, or its error, on one line."""
    if "error" in answer:
        return str(answer["error"])
    found = answer["predictions"]
    match answer["task"]:
        case "bounding-box":
            return _listed([f"{_sure(each)} at {_place(each['box'])}" for each in found])
        case "multi-label-classification":
            applying = [each for each in found if each["confidence"] >= each.get("threshold", 0)]
            best = f" (nearest: {_sure(found[0])})" if found else ""
            return _listed([_sure(each) for each in applying]) if applying else f"no label{best}"
        case _:
            return ", ".join(_sure(each) for each in found[:SHOWN]) or "nothing found"


def _listed(parts: list[str]) -> str:
    more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
    return ", ".join(parts[:SHOWN]) + more or "nothing found"


def _sure(prediction: Json) -> str:
    return f"{prediction['label']} {prediction['confidence']:.1%}"


def _place(box: Json) -> str:
    """Left and top, width and height in whole pixels."""
    return f"{box['left']:.0f},{box['top']:.0f} {box['width']:.0f}x{box['height']:.0f}"
