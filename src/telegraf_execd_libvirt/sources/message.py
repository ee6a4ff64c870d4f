"""Source ``message``: what libvirt says about a running domain: tainted, deprecated, I/O errors.

libvirt's texts are in the language of its daemon, so the kind of a message follows from the flag
with which it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

from ..domain.record import Domain
from ..domain.xml import clean
from ..groups.schema import Metric, Type, gauge, text
from .source import MINUTE, Scope, Source

#: VIR_DOMAIN_MESSAGE_DEPRECATION and VIR_DOMAIN_MESSAGE_TAINTING. Others are I/O errors, whose flag
#: older libvirts do not know.
_FLAGS = {"deprecated": 1, "tainted": 2}


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.domains(active=True):
        found = scope.call(handle, "messages", 0)
        keys = None if found is None else _keys(scope, handle, found)
        if keys is not None:
            yield scope.domain(handle, "message", keys)


def _keys(scope: Scope, handle: Any, found: list[str]) -> Optional[dict[str, Any]]:
    """The keys of all messages of a domain; None if it has ended before their kinds are known."""
    keys: dict[str, Any] = {}
    others = [*found]
    for kind, flag in _FLAGS.items():
        # Most domains have no message and need no second call.
        texts = scope.call(handle, "messages", flag) if found else []
        if texts is None:
            return None
        others = [each for each in others if each not in texts]
        keys[kind] = len(texts)
        # The kind is before the colon.
        names = [each.partition(": ")[2] or each for each in texts]
        keys[f"{kind}_names"] = clean(", ".join(names)) or None
    keys["io_errors"] = len(others)
    keys["io_error"] = clean(others[-1]) if others else None
    return keys


SOURCE = Source(
    name="message",
    summary="domains that are tainted, deprecated, or had an I/O error",
    reads="what libvirt says about each running domain: tainted, deprecated, its last I/O errors",
    calls="`virDomainGetMessages` for each running domain; three times for one that has messages",
    new=lambda: _fetch,
    interval=5 * MINUTE,
    metrics=(
        Metric(
            prefix="message",
            help="Messages of libvirt about a running domain",
            fields=(
                gauge("tainted", "", "number of reasons for which it is tainted", Type.UINT),
                text("tainted_names", "these reasons, separated by commas"),
                gauge("deprecated", "", "number of deprecated features that it uses", Type.UINT),
                text("deprecated_names", "these features, separated by commas"),
                gauge(
                    "io_errors",
                    "",
                    "number of its disks' last I/O errors; 0 if libvirt does not keep them",
                    Type.UINT,
                ),
                text("io_error", "the last one of these errors, with disk and time"),
            ),
        ),
    ),
)
