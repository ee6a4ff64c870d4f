"""The text of libvirt's messages about failed connection attempts.

Invariant: no user name and no path of the URI, and not the user's home, is in what
:func:`discreet` returns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from ..uri import parameters, redact_uri, user_name
from .ssh import with_home

#: The lines that name the problem, in ssh's messages of several lines.
_TELLING = re.compile(
    r"REVOKED HOST KEY|IDENTIFICATION HAS CHANGED|Host key verification failed"
    r"|Load key|Identity file|Permission denied \(|Too many authentication|: not found"
    r"|[Cc]onnection (refused|reset|timed out|closed)"
)
_LONGEST = 600

#: The user name that ssh writes before its reason.
_LOGIN = re.compile(r"[\w.+-]+@(?=[\w.:\[\]-]+: )")


def one_line(message: str, reasons: Iterable[str] = ()) -> str:
    """The message as one line, with libvirt's ``reasons`` that it does not have."""
    message = _telling(message)
    for reason in dict.fromkeys(reasons):
        if reason not in message:
            message += f": {reason}"
    return message


def discreet(message: str, uri: str) -> str:
    """The message without user names, and with a parameter's name in place of its path; cut after
    600 characters."""
    message = message.replace(uri, redact_uri(uri))
    if user := user_name(uri):
        for written in (user, user.replace("\\", "\\\\")):
            message = message.replace(f"{written}@", "")
    message = _LOGIN.sub("", message)
    for name, value in parameters(uri).items():
        if "/" in value and name != "socket":
            message = message.replace(with_home(value), name).replace(value, name)
    home = os.environ.get("HOME", "").rstrip("/")
    if home:
        message = re.sub(rf"(?<![\w/.-]){re.escape(home)}(?=/)", "~", message)
    return message[:_LONGEST]


def _telling(message: str) -> str:
    """The lines that name the problem, or else the last line, as one line."""
    lines = [line.strip("@* \t\r") for line in message.split("\n")]
    lines = [line for line in lines if line]
    if len(lines) < 2:
        return message.strip()
    beginning = lines[0].partition(": ")[0].rstrip(":")
    lines[0] = lines[0].partition(": ")[2]
    telling = [line for line in lines if _TELLING.search(line)] or lines[-1:]
    return f"{beginning}: {', '.join(telling)}"
