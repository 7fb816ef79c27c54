"""What the console's pages of dataset versions send."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from loupe.domain.console.correcting import MAX_CORRECTED, Wish
from loupe.domain.console.datasets import MAX_SHOWN
from loupe.domain.datasets.galleries import Change, Order, Wanted
from loupe.domain.datasets.splits import Split
from loupe.domain.label_values import read_any
from loupe.domain.labeling.annotation import MAX_PARTS


class ImagesRequest(BaseModel):
    """Which images of a version, from query parameters."""

    model_config = ConfigDict(extra="forbid")

    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=MAX_SHOWN, ge=1, le=MAX_SHOWN)
    label: str | None = None
    split: Split | None = None
    job: str | None = None
    worker: str | None = None
    confidence_from: float | None = Field(default=None, ge=0, le=1)
    confidence_to: float | None = Field(default=None, ge=0, le=1)
    says: str | None = None
    by: Literal["human", "model"] | None = None
    disagreement: bool = False
    mistakes: bool = False
    since: str | None = None
    change: Change | None = None
    order: Order = "dataset"

    def wanted(self) -> Wanted:
        ends = self.confidence_from, self.confidence_to
        return Wanted(
            label=self.label,
            split=self.split,
            job=self.job,
            worker=self.worker,
            confidence=None
            if ends == (None, None)
            else (ends[0] or 0.0, 1.0 if ends[1] is None else ends[1]),
            human=None if self.by is None else self.by == "human",
            says=self.says,
            disagreement=self.disagreement,
            mistakes=self.mistakes,
            since=self.since,
            change=self.change,
            order=self.order,
        )


class CorrectionRequest(BaseModel):
    """One image's label as it is to be: as the project's task has it, or none; and the newest correction
    that the person knows of."""

    model_config = ConfigDict(extra="forbid")

    sha256: str
    label: str | None = None
    labels: list[str] | None = Field(default=None, max_length=MAX_PARTS)
    boxes: list[dict[str, Any]] | None = Field(default=None, max_length=MAX_PARTS)
    withdrawn: Literal[True] | None = None
    seen: str | None = None

    @model_validator(mode="after")
    def _one_label(self) -> "CorrectionRequest":
        given = [said for said in (self.label, self.labels, self.boxes, self.withdrawn) if said is not None]
        if len(given) != 1:
            raise ValueError("give one of label, labels, boxes and withdrawn")
        return self

    def wish(self) -> Wish:
        """Raises `InvalidLabel`."""
        said = self.model_dump(include={"label", "labels", "boxes"}, exclude_none=True)
        return Wish(self.sha256, read_any(said), self.seen)


class CorrectionsRequest(BaseModel):
    """Labels of several images, each image once."""

    model_config = ConfigDict(extra="forbid")

    corrections: list[CorrectionRequest] = Field(min_length=1, max_length=MAX_CORRECTED)

    @model_validator(mode="after")
    def _distinct(self) -> "CorrectionsRequest":
        if len({each.sha256 for each in self.corrections}) < len(self.corrections):
            raise ValueError("corrections: name each image once")
        return self
