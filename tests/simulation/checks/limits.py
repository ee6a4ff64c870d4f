"""The limits that the documentation promises. They are not the engine's own, which may be wrong."""

from __future__ import annotations

#: Hung requests of one kind, before it is asked for less.
MOST_HANGING = 4

#: Calls of a domain's own that hang although they need no monitor.
MOST_HANGING_PER_DOMAIN = 2

#: Look-ups that wait for locks, and with them a call about all domains.
MOST_LOCKED = 4

#: Connections that serve fetches.
FETCH_LINKS = 3
