"""TransRAC, trained by 'racctl train counter --model transrac'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from racctl.counters.d2stx import D2STXCounter
from racctl.counters.escounts import ExemplarSettings
from racctl.kinds import fixed


@dataclass(frozen=True)
class TokenSettings(ExemplarSettings):
    """There is nothing to choose: it takes no exemplars."""

    exemplars: tuple[tuple[float, float], ...] = fixed(())
    self_exemplars: int = fixed(0)


class TransRACCounter(D2STXCounter):
    """See `racctl.models.transrac`."""

    Settings: ClassVar[type] = TokenSettings
