"""SkimFocusNet, trained by 'racctl train counter --model skimfocus'."""

from __future__ import annotations

from typing import ClassVar

from racctl.counters.d2stx import D2STXCounter
from racctl.counters.transrac import TokenSettings


class SkimFocusCounter(D2STXCounter):
    """See `racctl.models.skimfocus`."""

    Settings: ClassVar[type] = TokenSettings
