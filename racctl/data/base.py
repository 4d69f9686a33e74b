"""Which data sets there are. What one is says `racctl.data.published.Published`, which each of them derives from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from racctl.errors import UsageError
from racctl.kinds import Kind
from racctl.progress import tell

if TYPE_CHECKING:
    from racctl.data.published import Published

DATA_SETS = Kind(
    "data set",
    "racctl.data_sets",
    {
        "repcount": "racctl.data.published:RepCount",
        "countix": "racctl.data.published:Countix",
        "ucfrep": "racctl.data.published:UCFRep",
    },
)


def data_sets() -> Iterator[type[Published]]:
    """Yield every data set, those of other packages first: they know their tables better than the project's own do.

    The user is told of one that cannot be loaded; it takes nothing from the others.
    """
    for name in sorted(DATA_SETS.names(), key=lambda name: name in DATA_SETS.builtin):
        try:
            yield DATA_SETS.load(name)
        except UsageError as error:
            tell(str(error))
