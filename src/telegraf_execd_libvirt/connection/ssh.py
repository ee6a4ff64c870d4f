"""Parameters of an ssh URI that libvirt's client ignores: ``known_hosts``, ``sshauth``.

Telegraf's inputs.libvirt and libvirt's own ``+libssh`` support them. With ``+ssh`` libvirt's client
runs the program of ``command=``, by default ssh, without them. So this module writes a short script
that runs ssh with them, and removes it after the connection attempt.

Invariant: neither the shell nor ssh interprets a part of the URI. Paths reach ssh in quoted
environment variables, whose values ssh does not expand again.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from ..uri import (
    SSH_METHODS,
    SSH_VERIFY,
    parameters,
    ssh_methods,
    transport,
    with_home,
    with_parameter,
)
from .errors import LibvirtError

#: ssh never asks, notices a host that is silent, while connecting and later, and prints no banner:
#: libvirt cannot read a long one, and loses the reason that follows.
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=15", "ServerAliveInterval=5", "LogLevel=ERROR")

#: The parameters that are paths: the variable and ssh's option of each.
_PATHS = {
    "known_hosts": ("TELEGRAF_EXECD_LIBVIRT_KNOWN_HOSTS", "UserKnownHostsFile"),
    "keyfile": ("TELEGRAF_EXECD_LIBVIRT_KEYFILE", "IdentityFile"),
}

#: ssh itself reports an unreadable key only if an argument names the key.
_UNREADABLE = 'test -r "${}" || echo "Identity file keyfile not accessible" >&2'

#: The name of the script, as ps shows it.
_PROGRAM = "ssh"

_NEEDS_FOLDER = "let TMPDIR name a folder where this user can write and programs may run"

#: The folders of the scripts that exist now.
_folders: set[str] = set()


@contextmanager
def prepared(uri: str) -> Iterator[str]:
    """The URI for libvirt's client. The program that it names exists until the end of the block."""
    script = _script(uri)
    if not script:
        yield uri
        return
    folder = _folder_with(script)
    try:
        program = quote(str(Path(folder, _PROGRAM)))
        yield with_parameter(uri, "command", program, without="keyfile")
    finally:
        _remove(folder)


def remove_all() -> None:
    """Removes the scripts of attempts that hang, when the program ends."""
    for folder in tuple(_folders):
        _remove(folder)


def _script(uri: str) -> str:
    """The script that runs ssh, or nothing if ssh needs no more than libvirt gives it."""
    given = parameters(uri)
    ours = {"known_hosts", "sshauth", "known_hosts_verify"}
    if transport(uri) != "ssh" or "command" in given or not ours & given.keys():
        return ""
    methods = ssh_methods(given)
    options = list(_OPTIONS)
    lines = ["#!/bin/sh"]
    if methods == ["agent"]:
        options.append("IdentityFile=none")
        given.pop("keyfile", None)
    for name, (variable, option) in _PATHS.items():
        if given.get(name):
            lines.append(f"export {variable}={shlex.quote(with_home(given[name]))}")
            options.append(f"{option}=${{{variable}}}")
    if "keyfile" in given:
        lines.append(_UNREADABLE.format(_PATHS["keyfile"][0]))
    if methods:
        names = dict.fromkeys(SSH_METHODS[method] for method in methods if method in SSH_METHODS)
        options.append(f"PreferredAuthentications={','.join(names)}")
        if "agent" not in methods:
            options.append("IdentityAgent=none")
    if "known_hosts_verify" in given:
        options.append(
            f"StrictHostKeyChecking={SSH_VERIFY.get(given['known_hosts_verify'], 'yes')}"
        )
    words = " ".join(f"-o {shlex.quote(option)}" for option in options)
    return "\n".join([*lines, f'exec ssh {words} "$@"', ""])


def _folder_with(script: str) -> str:
    """A new private folder with the script; some places do not allow programs to run."""
    import tempfile  # imported here: only such URIs need it, and it costs 5 ms and 1 MiB

    first = os.environ.get("TMPDIR") or "/tmp"
    for parent in (first, "/var/tmp", "/dev/shm", os.environ.get("HOME", "/")):
        try:
            folder = tempfile.mkdtemp(prefix="telegraf-execd-libvirt-", dir=parent)
        except OSError:
            continue
        _folders.add(folder)
        program = Path(folder, _PROGRAM)
        with suppress(OSError):
            program.write_bytes(os.fsencode(script))
            program.chmod(0o700)
            if os.access(program, os.X_OK):
                return folder
        _remove(folder)
    tried = "tried TMPDIR (or /tmp), /var/tmp, /dev/shm and HOME"
    raise LibvirtError(
        0, 0, f"no folder takes the program that runs ssh: {tried}", help=_NEEDS_FOLDER
    )


def _remove(folder: str) -> None:
    # Another thread may remove it, too.
    with suppress(OSError):
        Path(folder, _PROGRAM).unlink()
    with suppress(OSError):
        Path(folder).rmdir()
    _folders.discard(folder)
