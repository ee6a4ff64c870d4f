"""Remove the secrets of the URIs in use from texts of libvirt's, and of programs that it runs.

Invariant: no piece of a user part or of parameters of a URI in use that is longer than two
characters is left, however the text quotes, splits or cuts it. A text is cut before it is searched,
since a daemon's message may have any length.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Optional
from urllib.parse import quote, unquote

from ..uri import (
    HIDDEN,
    LONGEST_TEXT,
    PARAMETERS,
    aliases,
    cut,
    has_scheme,
    redact,
    redact_uri,
    secrets,
)

_lock = threading.Lock()

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
    with _lock:  # several connections may be opened at the same time
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
        + (end if re.search(r"\w\Z", run) else "")
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
