"""End the child processes of libvirt's client, such as ssh, together with this program.

Invariant: a process that was a child before the program began, such as one of the shell that became
this program, is left alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Union

#: The time that a child has to end after SIGTERM; SIGKILL follows.
_GRACE_SECONDS = 0.5
_LOOK_AGAIN_SECONDS = 0.01


class Children:
    """The child processes; those that exist at its creation are left alone."""

    def __init__(self) -> None:
        self._others = _children("self")

    def end(self) -> None:
        """Ends all later children and their descendants, also new ones; kills those that do not
        end within 0.5 s."""
        asked: set[int] = set()
        ran = True
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline:
            running = {process for process in self._descendants() | asked if _runs(process)}
            # Look twice: the kernel's list of threads is incomplete if a thread ends meanwhile.
            if not running and not ran:
                return
            ran = bool(running)
            _signal(running - asked, signal.SIGTERM)
            asked |= running
            time.sleep(_LOOK_AGAIN_SECONDS)
        _signal(asked | self._descendants(), signal.SIGKILL)

    def _descendants(self) -> set[int]:
        found: set[int] = set()
        more = _children("self") - self._others
        while more:
            found |= more
            more = {child for process in more for child in _children(process)} - found
        return found


def _children(process: Union[int, str]) -> set[int]:
    """The children of all threads of a process; none where /proc does not list them."""
    found: set[int] = set()
    with contextlib.suppress(OSError):  # the process has ended
        for thread in Path(f"/proc/{process}/task").iterdir():
            with contextlib.suppress(OSError):  # this thread has ended; others may have children
                text = (thread / "children").read_text()
                found.update(map(int, text.split()))
    return found


def _runs(process: int) -> bool:
    try:
        # The name, in parentheses, may contain anything.
        stat = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return False
    return stat[0] not in (b"Z", b"X")


def _signal(processes: set[int], number: signal.Signals) -> None:
    for process in processes:
        try:
            os.kill(process, number)
        except OSError:
            pass  # it has ended, or runs as another user
