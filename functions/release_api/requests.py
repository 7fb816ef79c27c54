"""What the console's pages of models send."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class ApprovalRequest(BaseModel):
    """What somebody decides of a candidate that waits for it."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approve", "reject"]
