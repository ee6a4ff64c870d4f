"""The invariants. Each is a check in a file of its own; the driver calls all of them."""

from __future__ import annotations

from ..driver import Check
from .asking import Asking
from .attempts import Attempts
from .bounds import Bounds
from .described import Described
from .fetched import FetchedOthers
from .intervals import Intervals
from .late import Late
from .locks import Locks
from .logged import Logged
from .lost import Lost
from .once import Once
from .outage import Outage
from .outcomes import Outcomes
from .paused import Paused
from .recovered import Recovered
from .stamps import Stamps
from .tables import Tables

ALL: tuple[type[Check], ...] = (
    *(Asking, Attempts, Bounds, Described, FetchedOthers, Intervals, Late, Locks, Logged, Lost),
    *(Once, Outage, Outcomes, Paused, Recovered, Stamps, Tables),
)
