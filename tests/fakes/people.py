"""People who remember what they were told."""

from dataclasses import dataclass, field

from loupe.ports.messages import Notice


@dataclass
class FakePeople:
    """Implements `loupe.ports.messages.TellsPeople`."""

    told: list[Notice] = field(default_factory=list)

    def tell(self, notice: Notice) -> None:
        self.told.append(notice)
