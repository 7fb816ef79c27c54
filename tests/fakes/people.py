"""People who remember what they were told."""

from dataclasses import dataclass, field

from loupe.ports import Notice


@dataclass
class FakePeople:
    """Implements `loupe.ports.TellsPeople`."""

    told: list[Notice] = field(default_factory=list)

    def tell(self, notice: Notice) -> None:
        self.told.append(notice)
