"""The start of the command ``telegraf-execd-libvirt``, and of ``python -m telegraf_execd_libvirt``.

Rule guarded: signals are noted before anything is loaded that takes time, for Telegraf may send the
first tick at any moment; and before anything is opened, the numbers of the standard streams are
taken.
"""

from __future__ import annotations

import os
import sys

from .signals import Signals


def main() -> int:
    """Runs the command and returns its exit status."""
    stdout_is_open = open_missing()
    signals = Signals()
    from . import cli

    return cli.main(signals=signals, stdout_is_open=stdout_is_open)


def open_missing() -> bool:
    """Opens those of the three standard streams that are closed, so that nothing else gets their
    numbers; tells whether stdout was open."""
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
