"""Reads the file of a configuration, and the sample.

Invariant: it reads no more than a limit, and never waits for the first writer of a FIFO.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

_LARGEST = 8 << 20


def read(path: Path) -> tuple[bytes, int]:
    """The content of a file, and its mode; raises OSError and ValueError.

    A FIFO may be the output of a program, as with ``--config <(COMMAND)``.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        mode = os.fstat(fd).st_mode
        text = b""
        if stat.S_ISFIFO(mode):
            with suppress(BlockingIOError):
                text = os.read(fd, _LARGEST)
                if not text:
                    raise ValueError("it is a FIFO that no program writes")
        elif not stat.S_ISREG(mode):
            raise ValueError("it is not a regular file")
        os.set_blocking(fd, True)
        text += file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST >> 20} MiB")
    return text, mode


def sample_config() -> str:
    """The commented sample configuration."""
    from importlib import resources  # imported here: costs 1 MiB and 5 ms

    return resources.files(__package__).joinpath("sample.conf").read_text("utf-8")
