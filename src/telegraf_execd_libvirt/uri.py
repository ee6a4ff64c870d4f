"""Libvirt URIs: split them, remove credentials, find passwords.

Invariant: user names, passwords and queries (keys, tokens, key file paths) of a URI reach no log
and no metric, also if the URI is part of a libvirt message. One exception: the error about a wrong
``sshauth`` or ``known_hosts_verify`` shows its value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

#: An apostrophe is a part of a URI, unless it may be the end of a quotation.
_INNER = r"'(?![\s:,.;)]|$)"
_USERINFO = re.compile(rf"(?<=://)(?:[^\s/?#'\"]|{_INNER})*@")
_QUERY = re.compile(rf"(://(?:[^\s?'\"]|{_INNER})*)\?(?:[^\s'\"]|{_INNER})*")
_PASSWORD = re.compile(r"://[^/?#]*:[^/?#]*@|[?&;][^=&;]*(?:pass|secret|token)[^=&;]*=", re.I)


def redact(text: str) -> str:
    """Return the text without user information and queries of the URIs in it."""
    if "://" not in text:
        return text
    return _QUERY.sub(r"\1", _USERINFO.sub("", text))


#: A host and its port, if that is a number.
_HOST = re.compile(r"(\[[^]]*\]|[^:]*)(:\d*)?")

#: The first parameter. A password may have a question mark, too.
_FIRST_PARAMETER = re.compile(r"\?[\w.%-]+=")


def redact_uri(uri: str) -> str:
    """Return the URI without user information and query. Unlike in a message, all of the text is
    the URI, so a password may have any characters, also some that should be quoted."""
    scheme, mark, rest = uri.partition("://")
    address = _FIRST_PARAMETER.split(rest, maxsplit=1)[0]
    authority = _authority(uri)
    host = authority.rpartition("@")[2]
    named = address.partition("@")[0]
    password = ":" in named and not named.startswith(("/", "["))
    if "@" in address and (password or not _HOST.fullmatch(host)):
        address = address.rpartition("@")[2]
    else:
        address = host + address[len(authority) :]
    return (scheme + mark if mark else uri) + re.split("[?#]", address)[0]


def has_password(uri: str) -> bool:
    """Whether the URI contains a password, in its user part or in its query."""
    return _PASSWORD.search(uri) is not None


def driver_and_transport(uri: str) -> tuple[str, str]:
    """Split the scheme: ``qemu+ssh://…`` gives ("qemu", "ssh"); without a transport it is ""."""
    scheme = uri.partition("://")[0]
    driver, _, transport = scheme.partition("+")
    return driver, transport.lower()


#: The transports by ssh.
SSH = frozenset(("ssh", "libssh", "libssh2"))

#: The transport of an alias of libvirt.conf, which libvirt alone knows.
ALIAS = "alias"


def transport(uri: str) -> str:
    """The transport, such as "ssh"; "" if there is none, and ALIAS for an alias."""
    return driver_and_transport(uri)[1] if "://" in uri else ALIAS


def is_remote(uri: str) -> bool:
    """Whether it may lead to another host."""
    return bool(_authority(uri)) or transport(uri) not in ("", "unix")


def user_name(uri: str) -> str:
    """The user name of the URI, without a password; empty if there is none."""
    return unquote(_authority(uri).rpartition("@")[0].partition(":")[0])


def _authority(uri: str) -> str:
    return re.split("[/?#]", uri.partition("://")[2])[0]


def parameters(uri: str) -> dict[str, str]:
    """The parameters behind the ``?``, by their names in lower case; the first of a name counts."""
    query = uri.partition("#")[0].partition("?")[2]
    found: dict[str, str] = {}
    for part in re.split("[&;]", query):
        name, _, value = part.partition("=")
        if name:
            found.setdefault(unquote(name).lower(), unquote(value, errors="surrogateescape"))
    return found


def with_home(path: str) -> str:
    """The path with the user's home for a tilde, as ssh has it."""
    # Path.expanduser() raises an error without a home.
    return os.path.expanduser(path) if path.startswith("~/") else path  # noqa: PTH111


def with_parameter(uri: str, name: str, value: str, without: str) -> str:
    """The URI with one more parameter, whose value must be quoted, and without the parameters of
    the name ``without``."""
    address, mark, fragment = uri.partition("#")
    address, _, query = address.partition("?")
    parts = [
        part
        for part in re.split("[&;]", query)
        if part and unquote(part.partition("=")[0]).lower() != without
    ]
    return f"{address}?{'&'.join([*parts, f'{name}={value}'])}{mark}{fragment}"


#: Authentication methods of ``sshauth``, and their names in ssh's configuration.
SSH_METHODS = {
    "agent": "publickey",
    "privkey": "publickey",
    "password": "password",
    "keyboard-interactive": "keyboard-interactive",
}

#: Those that need an answer, which nobody gives.
_ASKING = frozenset(("password", "keyboard-interactive"))

#: Values of ``known_hosts_verify``, and what ssh calls them.
SSH_VERIFY = {"normal": "yes", "auto": "accept-new", "ignore": "no"}


def unknown_values(uri: str) -> Iterator[tuple[str, str, str]]:
    """The wrong values of parameters: parameter, allowed values, and wrong value of each."""
    given = parameters(uri)
    methods = ssh_methods(given)
    if transport(uri) in SSH and methods and _ASKING.issuperset(methods):
        silent = " or ".join(method for method in SSH_METHODS if method not in _ASKING)
        yield "sshauth", silent, given["sshauth"]
    if transport(uri) == "ssh":
        for method in methods:
            if method not in SSH_METHODS:
                yield "sshauth", ", ".join(SSH_METHODS), method
        verify = given.get("known_hosts_verify", "normal")
        if verify not in SSH_VERIFY:
            yield "known_hosts_verify", ", ".join(SSH_VERIFY), verify


def ssh_methods(given: dict[str, str]) -> list[str]:
    """The methods of sshauth."""
    return [method for method in given.get("sshauth", "").lower().split(",") if method]
