"""A program that writes what the plugins of a fleet write, in real time; Telegraf runs it.

    python -m support.replay START

The rule: lines from START, in seconds of Unix time, to now are written at once, then a tick each
second until nobody reads them.
"""

from __future__ import annotations

import sys
import time

from support.fleet import Fleet
from support.fleet_lines import lines
from support.sites import random_fleet

#: No host fails before this time.
_NEVER = 1 << 40


def replayed(start: int) -> Fleet:
    """The fleet, whose guests were started before this time."""
    return random_fleet(10, start, hosts=1, guests=40, projects=2, sources=True)


def main() -> None:
    """Write until stdout is closed."""
    start = int(sys.argv[1])
    now = start
    for text in lines(replayed(start), start, _NEVER, 1):
        time.sleep(max(0, now - time.time()))
        sys.stdout.write(text)
        sys.stdout.flush()
        now += 1


if __name__ == "__main__":
    main()
