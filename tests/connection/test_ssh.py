"""The program that runs ssh with the parameters that libvirt's client ignores."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest
from pytest_mock import MockerFixture

from telegraf_execd_libvirt.connection import ssh as ssh_command
from telegraf_execd_libvirt.connection.errors import LibvirtError
from telegraf_execd_libvirt.uri import parameters

HOST = "qemu+ssh://monitor@kvm1.example.org/system"

#: Prints the paths of known_hosts and the key, and its arguments, each with a NUL behind it.
SSH = """#!/bin/sh
printf '%s\\0' "$TELEGRAF_EXECD_LIBVIRT_KNOWN_HOSTS" "$TELEGRAF_EXECD_LIBVIRT_KEYFILE" "$@"
"""


PUBLIC = "PreferredAuthentications=publickey"
KEY, KNOWN_HOSTS = (
    "IdentityFile=${TELEGRAF_EXECD_LIBVIRT_KEYFILE}",
    "${TELEGRAF_EXECD_LIBVIRT_KNOWN_HOSTS}",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files; PATH has a stand-in for ssh."""
    programs = tmp_path / "programs"
    programs.mkdir()
    ssh = programs / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o700)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    return temporary


def run(uri: str) -> tuple[str, str, list[str]]:
    """The paths of known_hosts and of the key, and the arguments that ssh gets when libvirt runs
    the program."""
    with ssh_command.prepared(uri) as prepared:
        assert "keyfile" not in parameters(prepared)
        program = parameters(prepared)["command"]
        done = subprocess.run([program, "-l", "me", "--", "host"], capture_output=True, check=True)
    known_hosts, key, *arguments = os.fsdecode(done.stdout).split("\0")[:-1]
    assert arguments[-4:] == ["-l", "me", "--", "host"]
    return known_hosts, key, arguments[:-4]


@pytest.mark.parametrize(
    "uri",
    [
        *("qemu:///system", HOST, f"{HOST}?keyfile=/k&no_tty=1&no_verify=1"),
        *(f"{HOST}?known_hosts=/k&command=/my/ssh", "qemu+tls://h/system?known_hosts=/k"),
        "qemu+libssh2://h/system?known_hosts=/k&sshauth=privkey",
    ],
)
def test_other_uris_stay(uri: str) -> None:
    """A URI that libvirt's client understands reaches it as it is."""
    with ssh_command.prepared(uri) as prepared:
        assert prepared == uri


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/telegraf/known_hosts", "/with space/and\ttab", "/quotes'\"`", "/not-utf-8-\udcff"),
        *("/$(touch pwned)${HOME}%h%%~", "/a;touch pwned&b|c>d#e\\"),
        "/line\nbreak\n-oProxyCommand=touch pwned",
    ],
)
def test_any_path_reaches_ssh_as_it_is(
    folder: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No path is a word of the shell or of ssh's configuration."""
    monkeypatch.chdir(folder)
    quoted = quote(path, safe="/", errors="surrogateescape")
    known_hosts, key, arguments = run(f"{HOST}?known_hosts={quoted}&keyfile={quoted}&no_tty=1")
    assert known_hosts == key == path
    assert arguments == [
        *("-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=5"),
        *("-o", "LogLevel=ERROR", "-o", f"UserKnownHostsFile={KNOWN_HOSTS}", "-o", KEY),
    ]
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ("sshauth=privkey", f"{PUBLIC} IdentityAgent=none"),
        ("sshauth=agent", f"IdentityFile=none {PUBLIC}"),
        ("sshauth=agent&keyfile=/k", f"IdentityFile=none {PUBLIC}"),
        ("sshauth=privkey&keyfile=/k", f"{KEY} {PUBLIC} IdentityAgent=none"),
        ("sshauth=agent,privkey", PUBLIC),
        (
            "sshauth=PrivKey,password,keyboard-interactive",
            f"{PUBLIC},password,keyboard-interactive IdentityAgent=none",
        ),
        ("known_hosts_verify=auto", "StrictHostKeyChecking=accept-new"),
        ("known_hosts_verify=ignore", "StrictHostKeyChecking=no"),
        ("known_hosts_verify=normal", "StrictHostKeyChecking=yes"),
    ],
)
def test_options(folder: Path, given: str, options: str) -> None:
    """sshauth= and known_hosts_verify= become ssh's own options."""
    _, _, arguments = run(f"{HOST}?{given}")
    assert arguments[8:] == [word for option in options.split() for word in ("-o", option)]


def test_a_key_that_cannot_be_read_is_named(folder: Path) -> None:
    """The reason comes before ssh's own words."""
    with ssh_command.prepared(f"{HOST}?known_hosts=/k&keyfile=/nonexistent/key") as prepared:
        done = subprocess.run([parameters(prepared)["command"]], capture_output=True, check=True)
    assert done.stderr == b"Identity file keyfile not accessible\n"


def test_the_program_exists_only_during_the_attempt(folder: Path) -> None:
    """Nobody else may read it, and it is gone afterwards, also after a failure. At the end of the
    process remove_all() removes it; an attempt that hangs may end later."""

    def attempt(fails: bool) -> None:
        with ssh_command.prepared(f"{HOST}?known_hosts=/k"):
            (place,) = folder.iterdir()
            assert place.stat().st_mode & 0o777 == 0o700
            if fails:
                raise RuntimeError
            ssh_command.remove_all()
            assert not list(folder.iterdir())

    attempt(fails=False)
    with pytest.raises(RuntimeError):
        attempt(fails=True)
    assert not list(folder.iterdir())


def test_a_folder_where_programs_may_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no folder lets programs run, the error says so, and nothing is left behind."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(LibvirtError, match="no folder takes the program") as raised:
        run(f"{HOST}?known_hosts=/k")
    assert "TMPDIR" in raised.value.help
    assert not list(folder.iterdir())


@pytest.mark.parametrize("temporary", ["/nonexistent", ""])
def test_temporary_folders_that_cannot_be_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture, temporary: str
) -> None:
    """Another folder takes the program, such as HOME."""
    make = tempfile.mkdtemp

    def make_at_home(prefix: str, dir: str) -> str:
        if dir != str(folder):
            raise PermissionError
        return make(prefix=prefix, dir=dir)

    monkeypatch.setenv("TMPDIR", temporary)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr(tempfile, "mkdtemp", make_at_home)
    mocker.patch("tempfile.gettempdir", side_effect=FileNotFoundError)
    assert run(f"{HOST}?known_hosts=/k")[0] == "/k"
    assert not list(folder.iterdir())


def test_paths_below_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """~/ at the beginning is the home, as ssh has it for a key file alone."""
    monkeypatch.setenv("HOME", "/home/me")
    known_hosts, key, _ = run(f"{HOST}?known_hosts=~/a&keyfile=%7E/b%20~/c")
    assert (known_hosts, key) == ("/home/me/a", "/home/me/b ~/c")
    known_hosts, key, _ = run(f"{HOST}?known_hosts=~you/a&keyfile=a~/b")
    assert (known_hosts, key) == ("~you/a", "a~/b")
