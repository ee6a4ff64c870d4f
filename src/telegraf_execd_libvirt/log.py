"""Log: lines on stderr with the prefix ``E!``, ``W!``, ``I!`` or ``D!``, the level for Telegraf.

Invariant: a message is one line of bounded length and never blocks the caller: a separate thread
writes to stderr, which may be a full pipe. It has no credentials of a URI; a text of libvirt's
passes :func:`.connection.conceal.conceal` before it is logged.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import threading
from pathlib import Path
from typing import Optional, Union

from .uri import LONGEST_TEXT, cut, redact

LEVELS = ("error", "warn", "info", "debug")

#: Far below 64 KiB: Telegraf stops reading stderr after a longer line.
LONGEST_LINE = 2000

_WAITING_LINES = 1000

log = logging.getLogger("telegraf_execd_libvirt")


def one_line(text: str) -> str:
    """Return the text as one line: truncate a long text, remove what URIs must not show, escape
    unprintable characters."""
    text = redact(cut(text, LONGEST_TEXT))
    if not text.isprintable():
        text = "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
        )
    return text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE - 1]}…"


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {trace(record.exc_info[1])}"
        return f"{record.levelname[0]}! {one_line(text)}"


def trace(error: BaseException) -> str:
    """An unexpected exception in one line, with file name and line number."""
    at, where = error.__traceback__, ""
    while at is not None:
        where = f" at {Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}"
        at = at.tb_next
    return f"{type(error).__name__}: {error}{where}"


class _Handler(logging.Handler):
    """Passes lines to a thread that writes them; drops and counts lines if the queue is full."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.setFormatter(_Formatter())
        self._fd = fd
        #: Lines, and events for :func:`flush`. This kind of queue has no lock that a signal handler
        #: may find locked by its own thread.
        self.lines: queue.SimpleQueue[Union[str, threading.Event]] = queue.SimpleQueue()
        self._dropped = 0
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # wrong arguments of a log call must not end a collection
            self.handleError(record)
            return
        if self.lines.qsize() < _WAITING_LINES:
            self.lines.put(line)
        else:
            self._dropped += 1

    def _write(self) -> None:
        unfinished = False
        while True:
            line = self.lines.get()
            if isinstance(line, threading.Event):
                line.set()
                continue
            lost = self._dropped
            if lost:
                line += f" ({lost} messages were lost before: stderr did not take them)"
            data = ("\n" * unfinished + f"{line}\n").encode("utf-8", "backslashreplace")
            size = len(data)
            try:
                while data:
                    data = data[self._some(data) :]
            except OSError:  # stderr is closed, or its disk is full
                self._dropped += 1
                unfinished = unfinished or len(data) < size
            else:
                self._dropped -= lost
                unfinished = False

    def _some(self, data: bytes) -> int:
        while True:
            try:
                return os.write(self._fd, data)
            except BlockingIOError:  # another process made it non-blocking
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()


_handler: Optional[_Handler] = None


def start(level: str) -> None:
    """Log to the current stderr, from this level on."""
    global _handler
    if _handler is None:
        _handler = _Handler(os.dup(2))
        log.addHandler(_handler)
        log.propagate = False
        # Internal errors become log lines too, never a traceback on stderr.
        logging.raiseExceptions = False
        threading.excepthook = _log_thread
    log.setLevel(level.upper())


def _log_thread(defect: threading.ExceptHookArgs) -> None:
    if defect.exc_value is not None:
        log.error("internal error, a thread ended: %s", trace(defect.exc_value))


def flush(seconds: float = 0.5) -> None:
    """Wait for the last lines before the process ends, at most ``seconds``; also in a signal
    handler."""
    if _handler is not None:
        written = threading.Event()
        _handler.lines.put(written)
        written.wait(seconds)
