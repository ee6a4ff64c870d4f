"""What may be shown of a libvirt URI.

Rule guarded: user names, passwords and queries (keys, tokens, paths of keys) of a URI reach no
log and no metric, also when they stand in the middle of a message of libvirt's.
"""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=://)[^\s/?#'\"]*@")
_QUERY = re.compile(r"(://[^\s?'\"]*)\?[^\s'\"]*")
_PASSWORD = re.compile(r"://[^/?#]*:[^/?#]*@|[?&;][^=&;]*(?:pass|secret|token)[^=&;]*=", re.I)


def redact(text: str) -> str:
    """A text without the user information and the queries of the URIs in it."""
    if "://" not in text:
        return text
    return _QUERY.sub(r"\1", _USERINFO.sub("", text))


def has_password(uri: str) -> bool:
    """Whether a password stands in the URI itself, in its user part or in its query."""
    return _PASSWORD.search(uri) is not None


def driver_and_transport(uri: str) -> tuple[str, str]:
    """The two halves of a scheme: ``qemu+ssh://…`` gives ("qemu", "ssh"); none is empty."""
    scheme = uri.partition("://")[0]
    driver, _, transport = scheme.partition("+")
    return driver, transport
