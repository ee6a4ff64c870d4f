"""A program that writes what the plugins of a fleet write, in real time; Telegraf runs it.

    python -m support.replay START

The rule: lines from START, in seconds of Unix time, to now are written at once, then a tick each
second until nobody reads them.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import replace

from support.fleet import Fleet
from support.fleet_lines import lines
from support.sites import EVERY

#: No host fails before this time.
_NEVER = 1 << 40


def replayed(start: int) -> Fleet:
    """One host with a guest of each kind, which were started before this time and stay."""
    steady = {
        guest.name: guest
        for guest in reversed(EVERY.guests)
        if (guest.first, guest.last) == (-math.inf, math.inf)
    }
    host = EVERY.hosts[0]
    guests = [replace(g, host=host.name, boots=(start - 1000,)) for g in steady.values()]
    return replace(EVERY, hosts=(host,), guests=guests)


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
