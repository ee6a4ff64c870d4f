"""The parameters of +ssh that Telegraf's built-in plugin has: known_hosts, no_verify and sshauth.

The near user has no ~/.ssh, so nothing but the URI names a key or a host key.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from support.near import HOST
from support.plugin import eventually
from support.process import kill
from support.readers import Reader
from support.remote import FAR
from support.sshd import make_key
from support.transports import Rig


@pytest.fixture(autouse=True)
def no_ssh_folder(rig: Rig, healthy: None) -> Iterator[None]:
    """Take ~/.ssh away."""
    with rig.other_known_hosts(None):
        yield


@pytest.fixture
def known_hosts(rig: Rig) -> Path:
    """The right known_hosts, in a place that ssh does not look at."""
    name = f"[{HOST}]:{rig.sshd.port}"
    return rig.near.write("known_hosts", rig.sshd.known_hosts(name))


def uri(rig: Rig, **parameters: str | Path) -> str:
    """A URI with these parameters only."""
    text = "&".join(f"{name}={quote(str(value))}" for name, value in parameters.items())
    return f"test+ssh://{FAR}@{HOST}:{rig.sshd.port}/default" + (f"?{text}" if text else "")


def check_refused(reader: Reader) -> None:
    """There are no metrics, and one message."""
    assert reader.ticks(2) == [False] * 2
    (message,) = reader.finish()
    assert message.startswith("E!")


def test_the_sample(rig: Rig, read: Callable[..., Reader], known_hosts: Path) -> None:
    """The URI of the sample works as it is."""
    sample = f"test+ssh://{FAR}@{HOST}:{rig.sshd.port}/default"
    reader = read(f"{sample}?keyfile={rig.key}&known_hosts={known_hosts}")
    assert reader.ticks(2) == [True] * 2, reader.plugin.log.lines
    assert reader.finish() == []
    assert not (rig.near.home / ".ssh").exists() or not any((rig.near.home / ".ssh").iterdir())


@pytest.mark.parametrize("with_file", [False, True])
def test_paths_below_home(
    rig: Rig, read: Callable[..., Reader], known_hosts: Path, with_file: bool
) -> None:
    """A tilde is the home of the user, also beside a parameter that only the plugin knows."""
    if not with_file:
        rig.near.write(".ssh/known_hosts", rig.known_hosts())
    files = {"known_hosts": f"~/{known_hosts.name}"} if with_file else {}
    reader = read(uri(rig, keyfile=f"~/{rig.key.name}", **files))
    assert reader.ticks(2) == [True] * 2, reader.plugin.log.lines


def test_without_known_hosts(rig: Rig, read: Callable[..., Reader]) -> None:
    """Without known_hosts the far host is unknown."""
    check_refused(read(uri(rig, keyfile=rig.key)))


@pytest.mark.parametrize("case", ["another key", "empty", "missing"])
def test_wrong_known_hosts(
    rig: Rig, read: Callable[..., Reader], known_hosts: Path, case: str
) -> None:
    """The file that known_hosts names counts, even if ~/.ssh/known_hosts is right."""
    kind, public, *_ = make_key(rig.folder / "a_key").with_suffix(".pub").read_text().split()
    line = f"[{HOST}]:{rig.sshd.port} {kind} {public}\n" if case == "another key" else ""
    wrong = rig.near.write("wrong_known_hosts", line)
    if case == "missing":
        wrong.unlink()
    with rig.other_known_hosts(rig.known_hosts()):
        check_refused(read(uri(rig, keyfile=rig.key, known_hosts=wrong)))


@pytest.mark.parametrize("with_file", [False, True])
def test_no_verify(
    rig: Rig, read: Callable[..., Reader], known_hosts: Path, with_file: bool
) -> None:
    """no_verify accepts every host key, a changed one as well."""
    kind, public, *_ = make_key(rig.folder / "a_key").with_suffix(".pub").read_text().split()
    known_hosts.write_text(f"[{HOST}]:{rig.sshd.port} {kind} {public}\n")
    files = {"known_hosts": known_hosts} if with_file else {}
    reader = read(uri(rig, keyfile=rig.key, no_verify="1", **files))
    assert reader.ticks(2) == [True] * 2, reader.plugin.log.lines


HOSTILE = {
    "space": "a b  c",
    "single quote": "it's",
    "double quote": 'a "quoted" name',
    "percent": "100% %h %%d",
    "semicolon": "a;touch MARK;",
    "substitution": "$(touch MARK)`touch MARK`",
    "variable": "${HOME}$HOME~",
    "backslash": "a\\b\\\\",
    "options": "-oProxyCommand=touch MARK",
    "comma": "a,b=c#d&e?",
}


def make_hostile(rig: Rig, name: str, known_hosts: Path) -> tuple[Path, Path, Path]:
    """A key and a known_hosts in a folder of this name; and the file that must not appear."""
    mark = rig.near.home / "executed"
    folder = rig.near.home / name.replace("MARK", "executed")
    folder.mkdir()
    rig.near.own(folder)
    key = rig.near.own(Path(shutil.copyfile(rig.key, folder / "key")), 0o600)
    return key, rig.near.own(Path(shutil.copyfile(known_hosts, folder / "known hosts"))), mark


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_paths(rig: Rig, read: Callable[..., Reader], known_hosts: Path, name: str) -> None:
    """Paths with characters that ssh or a shell would interpret work, and nothing is executed."""
    key, known, mark = make_hostile(rig, name, known_hosts)
    reader = read(uri(rig, keyfile=key, known_hosts=known))
    assert reader.ticks(2) == [True] * 2, reader.plugin.log.lines
    assert not mark.exists()


def test_a_newline_in_a_path(rig: Rig, read: Callable[..., Reader], known_hosts: Path) -> None:
    """A path with a line break may be refused, with one message, but nothing is executed."""
    key, known, mark = make_hostile(rig, "a\nProxyCommand touch executed\n", known_hosts)
    reader = read(uri(rig, keyfile=key, known_hosts=known))
    outcomes = reader.ticks(2)
    assert outcomes[0] == outcomes[1]
    assert len(reader.finish_with_errors()) == (0 if outcomes[0] else 1), reader.plugin.log.lines
    assert not mark.exists() and not Path("/executed").exists()


@pytest.mark.parametrize("part", ["user", "host", "path"])
def test_hostile_names(rig: Rig, read: Callable[..., Reader], known_hosts: Path, part: str) -> None:
    """A user, a host or a path that looks like an option or a command is not executed."""
    mark = rig.near.home / "executed"
    user = quote(f"-oProxyCommand=touch {mark}") if part == "user" else FAR
    host = f"-oProxyCommand=touch%20{quote(str(mark), safe='')}" if part == "host" else HOST
    far_mark = rig.far.home / "executed"
    path = quote(f"/$(touch {far_mark})';touch {far_mark};'") if part == "path" else "/default"
    files = f"keyfile={rig.key}&known_hosts={known_hosts}"
    reader = read(f"test+ssh://{user}@{host}:{rig.sshd.port}{path}?{files}")
    assert reader.ticks(2) == [False] * 2
    assert len(reader.finish_with_errors()) == 1
    assert not mark.exists() and not far_mark.exists()


@pytest.mark.parametrize("methods", ["privkey", "agent,privkey", "privkey,password"])
def test_private_key(
    rig: Rig, read: Callable[..., Reader], known_hosts: Path, methods: str
) -> None:
    """sshauth with privkey uses the key file, also if there is no agent."""
    parameters = {"keyfile": rig.key, "known_hosts": known_hosts, "sshauth": methods}
    reader = read(uri(rig, **parameters))
    assert reader.ticks(2) == [True] * 2, reader.plugin.log.lines


@pytest.mark.parametrize("methods", ["agent", "agent,privkey"])
def test_agent(rig: Rig, read: Callable[..., Reader], known_hosts: Path, methods: str) -> None:
    """sshauth with agent uses the keys of ssh-agent."""
    socket = rig.near.home / "agent"
    socket.unlink(missing_ok=True)
    environment = rig.near.environment(SSH_AUTH_SOCK=str(socket))
    command = [*rig.near.prefix, "ssh-agent", "-D", "-a", str(socket)]
    agent = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        assert eventually(socket.exists)
        add = [*rig.near.prefix, "ssh-add", "-q", str(rig.key)]
        subprocess.run(add, env=environment, check=True, stderr=subprocess.DEVNULL)
        parameters = {"known_hosts": known_hosts, "sshauth": methods}
        reader = read(uri(rig, **parameters), SSH_AUTH_SOCK=str(socket))
        assert reader.ticks(2) == [True] * 2, reader.plugin.log.lines
        reader.close()
    finally:
        kill(agent)
