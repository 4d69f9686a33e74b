"""ESCounts: one branch of D2-STX by itself, trained by 'racctl train counter --model escounts'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from racctl.counters.d2stx import D2STXCounter, D2STXSettings
from racctl.kinds import fixed


@dataclass(frozen=True)
class ExemplarSettings(D2STXSettings):
    """It is shown exemplars; it reads one branch, so that there is no fusion to choose or explain."""

    explain: str = fixed("")
    branches: str = fixed("both")


class ESCountsCounter(D2STXCounter):
    """See `racctl.models.escounts`."""

    Settings: ClassVar[type] = ExemplarSettings
