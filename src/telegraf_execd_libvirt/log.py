"""Log: lines on stderr with the prefix ``E!``, ``W!``, ``I!`` or ``D!``, the level for Telegraf.

Invariant: a message is one line of bounded length and never blocks the caller: a separate thread
writes to stderr, which may be a full pipe. No piece of a user part or of parameters of a URI in use
that is longer than two characters is in it: each text of libvirt's passes :func:`conceal`.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import select
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Optional, Union
from urllib.parse import quote, unquote

from .uri import HIDDEN, PARAMETERS, aliases, cut, has_scheme, redact, redact_uri, secrets

LEVELS = ("error", "warn", "info", "debug")

#: Far below 64 KiB: Telegraf stops reading stderr after a longer line.
LONGEST_LINE = 2000

_WAITING_LINES = 1000

log = logging.getLogger("telegraf_execd_libvirt")

#: The longest text that is searched for secrets.
LONGEST_TEXT = 4000


def one_line(text: str) -> str:
    """Return the text as one line: truncate a long text, remove what URIs must not show, escape
    unprintable characters."""
    text = redact(cut(text, LONGEST_TEXT))
    if not text.isprintable():
        text = "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
        )
    return text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE - 1]}…"


#: The URIs whose secrets :func:`conceal` looks for.
_hidden: tuple[str, ...] = ()

#: The shortest piece that is not shown.
_SHORTEST = 3

#: Words in the paths of parameters, and values of parameters, that are no secrets.
_ORDINARY = frozenset(
    (
        *PARAMETERS,
        *("agent", "auto", "direct", "interactive", "keyboard", "legacy", "native", "none"),
        *("bin", "etc", "home", "key", "keys", "lib", "libvirt", "local", "normal", "opt"),
        *("password", "privkey", "run", "sock", "ssh", "tmp", "usr", "var"),
    )
)


def hide(uri: str) -> None:
    """Makes :func:`conceal` remove the secrets of this URI, or of that of this alias, from all
    texts."""
    global _hidden
    if not has_scheme(uri):
        uri = aliases().get(uri, uri)
    if uri not in _hidden:
        _hidden = (*_hidden, uri)


def conceal(text: str) -> str:
    """A text of libvirt's, or of a program that it runs: cut, without secrets of the URIs in
    use."""
    text = cut(text, LONGEST_TEXT).rstrip(HIDDEN)
    for uri in _hidden:
        text = text.replace(uri, redact_uri(uri))
    pieces, words = _pieces(_hidden)
    text = pieces.sub(HIDDEN, text) if pieces else text
    # libvirt cuts its messages.
    last = re.split(r"\W", text)[-1].lower()
    if len(last) >= _SHORTEST and any(word.startswith(last) for word in words):
        text = text[: -len(last)] + HIDDEN
    return redact(text)


@lru_cache(maxsize=1)
def _pieces(uris: tuple[str, ...]) -> tuple[Optional[re.Pattern[str]], frozenset[str]]:
    """A pattern for the pieces of these URIs, longest first, and those that are one word."""
    found: set[str] = set()
    for uri in uris:
        user, query = secrets(uri)
        found.update(_runs(user), *map(_runs, user.split(":", 1)))
        values = [part.partition("=")[2] for part in re.split("[&;]", query)]
        for runs in map(_runs, (query, *values)):
            found.update(run for run in runs if run.lower() not in _ORDINARY)
    if not found:
        return None, frozenset()
    begin, end = r"(?:(?<!\w)|(?<=%[0-9a-f]{2}))", r"(?!\w)"
    texts = [
        (begin if re.match(r"\w", run) else "")
        + re.escape(run)
        + (end if re.search(r"\w$", run) else "")
        for run in sorted(found, key=len, reverse=True)
    ]
    words = frozenset(run.lower() for run in found if re.fullmatch(r"\w+", run))
    return re.compile("|".join(texts), re.IGNORECASE), words


def _runs(secret: str) -> Iterator[str]:
    """The secret itself, and its shortest pieces that are longer than two characters, each of whole
    words, and so as libvirt may write them."""
    plain = unquote(secret, errors="surrogateescape")
    quoted = quote(plain, safe="", errors="surrogateescape")
    for text, words in ((secret, r"\w+"), (plain, r"\w+"), (quoted, r"%[0-9A-F]{2}|\w+")):
        if len(text) >= _SHORTEST:
            yield text
        parts = re.findall(rf"{words}|\W", text)
        for at in range(len(parts)):
            run = ""
            for part in parts[at:]:
                if len(part) >= _SHORTEST and run and not re.search(r"\w", run):
                    break  # the word begins a piece itself
                run += part
                if len(run) >= _SHORTEST:
                    break
            if len(run) >= _SHORTEST and re.search(r"\w", run):
                yield run


class Told:
    """What the log has said last about each subject, so that it says each change once."""

    def __init__(self) -> None:
        self._last: dict[str, object] = {}

    def changed(self, subject: str, state: object, first: object = None) -> bool:
        """Whether the state of a subject is another one than at the last call, or ``first``."""
        before = self._last.get(subject, first)
        self._last[subject] = state
        return before != state


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
