"""What the portal's labeling API is asked."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from loupe.domain.label_values import LabelValue, read_any
from loupe.domain.labeling.annotation import MAX_PARTS, MAX_TASKS
from loupe.ports.labeling import Suggested


class LeaseRequest(BaseModel):
    """How many tasks a worker wants to have."""

    model_config = ConfigDict(extra="forbid")

    count: int = Field(ge=1, le=MAX_TASKS)


class SuggestionRequest(BaseModel):
    """Which model had suggested an answer, and whether the worker took it as it was."""

    model_config = ConfigDict(extra="forbid")

    model_version: Annotated[str, StringConstraints(pattern=r"^\d{4,9}$")]
    accepted: bool


class AnnotationRequest(BaseModel):
    """A label, several labels or boxes, as the job's task asks, or the reason for which there is none; what
    came of a model's suggestion; and how many further tasks are wanted."""

    model_config = ConfigDict(extra="forbid")

    label: str | None = None
    labels: list[str] | None = Field(default=None, max_length=MAX_PARTS)
    boxes: list[dict[str, Any]] | None = Field(default=None, max_length=MAX_PARTS)
    skip: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)] | None = None
    suggestion: SuggestionRequest | None = None
    lease: int = Field(default=0, ge=0, le=MAX_TASKS)

    @model_validator(mode="after")
    def _one_answer(self) -> "AnnotationRequest":
        given = [said for said in (self.label, self.labels, self.boxes, self.skip) if said is not None]
        if len(given) != 1:
            raise ValueError("give one of label, labels, boxes and skip")
        return self

    def value(self) -> LabelValue | None:
        """Raises `InvalidLabel`."""
        return read_any(self.model_dump(include={"label", "labels", "boxes"}, exclude_none=True))

    def suggested(self) -> Suggested | None:
        told = self.suggestion
        return None if told is None else Suggested(told.model_version, told.accepted)
