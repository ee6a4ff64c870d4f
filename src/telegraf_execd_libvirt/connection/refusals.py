"""Failed connection attempts: what each of them means, and what helps.

libvirt uses one code for many problems, and returns only ssh's text for errors of ssh. So the table
of cases decides by the words of the message; if no case matches, the code decides.

Invariant: the messages that leave this module are one short line, without the user name and the
parameters of the URI.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from ..uri import ALIAS, parameters, redact_uri, transport, user_name
from .errors import LibvirtError
from .refusal_cases import CASES
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


def refused(error: LibvirtError, uri: str, reasons: Iterable[str] = ()) -> LibvirtError:
    """The error of a connection attempt, with its kind, its advice, and a short message.

    ``reasons`` are libvirt's lines about it on stderr.
    """
    message = _short(error.message)
    for reason in dict.fromkeys(reasons):
        if reason not in message:
            message += f": {reason}"
    way = transport(uri)
    fitting = (case for case in CASES if not case.transports or way in {*case.transports, ALIAS})
    found = next((case for case in fitting if re.search(case.words, message)), None)
    message = _discreet(message, uri)[:_LONGEST]
    if found is None:
        return LibvirtError(error.code, error.domain, message, error.errno)
    return LibvirtError(error.code, error.domain, message, error.errno, found.kind, found.advice)


def _short(message: str) -> str:
    """The message as one line: the lines that name the problem, or else the last line."""
    lines = [line.strip("@* \t\r") for line in message.split("\n")]
    lines = [line for line in lines if line]
    if len(lines) < 2:
        return message.strip()
    beginning = lines[0].partition(": ")[0].rstrip(":")
    lines[0] = lines[0].partition(": ")[2]
    telling = [line for line in lines if _TELLING.search(line)] or lines[-1:]
    return f"{beginning}: {', '.join(telling)}"


def _discreet(message: str, uri: str) -> str:
    """The message without user names, and with a parameter's name in place of its path."""
    message = message.replace(uri, redact_uri(uri))
    if user := user_name(uri):
        for written in (user, user.replace("\\", "\\\\")):
            message = message.replace(f"{written}@", "")
    message = _LOGIN.sub("", message)
    for name, value in parameters(uri).items():
        if "/" in value and name != "socket":
            message = message.replace(with_home(value), name).replace(value, name)
    home = os.environ.get("HOME", "").rstrip("/")
    return re.sub(rf"(?<![\w/.-]){re.escape(home)}(?=/)", "~", message) if home else message
