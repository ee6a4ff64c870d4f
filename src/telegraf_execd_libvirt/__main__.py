"""Entry point of ``telegraf-execd-libvirt`` and of ``python -m telegraf_execd_libvirt``.

Invariant: signal handlers are installed before any slow import, because Telegraf may send the first
tick at any time; and file descriptors 0, 1 and 2 are in use before a file or pipe is opened to stay
open.
"""

from __future__ import annotations

import os
import sys

from .program.signals import Signals


def main() -> int:
    """Run the command and return its exit status."""
    stdout_is_open = open_missing()
    signals = Signals()
    from .program import cli

    return cli.main(signals=signals, stdout_is_open=stdout_is_open)


def open_missing() -> bool:
    """Open /dev/null on each closed standard stream, so that no other file gets its descriptor.

    Returns whether stdout was open.
    """
    was_open = []
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
            was_open.append(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    return 1 in was_open


if __name__ == "__main__":
    sys.exit(main())
