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
from support.transports import Rig

#: Parameters that work, with these words for files: `key`, the right `known`, a `wrong` one.
RIGHT = {
    "the sample": "keyfile={key}&known_hosts={known}",
    "below home": "keyfile=~/key&known_hosts=~/known_hosts",
    "no_verify": "keyfile={key}&no_verify=1",
    "no_verify and a changed key": "keyfile={key}&no_verify=1&known_hosts={wrong}",
    "privkey": "keyfile={key}&known_hosts={known}&sshauth=privkey",
    "agent,privkey without agent": "keyfile={key}&known_hosts={known}&sshauth=agent,privkey",
    "privkey,password": "keyfile={key}&known_hosts={known}&sshauth=privkey,password",
}

#: Parameters that do not, also if ~/.ssh/known_hosts is right, in all but the first case.
REFUSED = {
    "no known_hosts": "keyfile={key}",
    "another key": "keyfile={key}&known_hosts={wrong}",
    "empty": "keyfile={key}&known_hosts={empty}",
    "missing": "keyfile={key}&known_hosts={missing}",
}

#: Names of folders with characters that ssh or a shell would interpret.
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
    "newline": "a\nProxyCommand touch executed\n",
}

Read = Callable[..., Reader]


@pytest.fixture(autouse=True)
def no_ssh_folder(rig: Rig, healthy: None) -> Iterator[None]:
    """Take ~/.ssh away."""
    with rig.other_known_hosts(None):
        yield


@pytest.fixture
def files(rig: Rig) -> dict[str, Path]:
    """Files that parameters name, in places that ssh does not look at."""
    name = f"[{HOST}]:{rig.sshd.port}"
    return {
        "key": rig.key,
        "known": rig.near.write("known_hosts", rig.sshd.known_hosts(name)),
        "wrong": rig.near.write("wrong_known_hosts", f"{name} {rig.other_public_key()}\n"),
        "empty": rig.near.write("empty_known_hosts", ""),
        "missing": rig.near.home / "missing",
    }


def uri(rig: Rig, text: str, user: str = FAR, host: str = HOST, path: str = "/default") -> str:
    """A URI with these parameters."""
    return f"test+ssh://{user}@{host}:{rig.sshd.port}{path}?{text}"


def check_works(reader: Reader) -> None:
    """There are metrics, and nothing to complain about."""
    assert reader.ticks(2) == [True] * 2, reader.plugin.log.lines
    assert reader.finish() == []


@pytest.mark.parametrize("case", RIGHT)
def test_right(rig: Rig, read: Read, files: dict[str, Path], case: str) -> None:
    """Each works as it is, and leaves nothing in ~/.ssh, unless ssh notes an unknown host there."""
    check_works(read(uri(rig, RIGHT[case].format(**files))))
    left = [*(rig.near.home / ".ssh").glob("*")]
    assert "no_verify" in case or not left


def test_a_key_below_home(rig: Rig, read: Read) -> None:
    """A tilde is the home of the user, also where the plugin has nothing to do."""
    rig.near.write(".ssh/known_hosts", rig.known_hosts())
    check_works(read(uri(rig, f"keyfile=~/{rig.key.name}")))


@pytest.mark.parametrize("case", REFUSED)
def test_refused(rig: Rig, read: Read, files: dict[str, Path], case: str) -> None:
    """There are no metrics, and one message."""
    if case != "no known_hosts":
        rig.near.write(".ssh/known_hosts", rig.known_hosts())
    reader = read(uri(rig, REFUSED[case].format(**files)))
    assert reader.ticks(2) == [False] * 2
    (message,) = reader.finish()
    assert message.startswith("E!")


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_paths(rig: Rig, read: Read, files: dict[str, Path], name: str) -> None:
    """Such paths work, and nothing is executed. A line break may be refused, with one message."""
    mark = rig.near.home / "executed"
    folder = rig.near.home / name.replace("MARK", "executed")
    folder.mkdir()
    rig.near.own(folder)
    parameters = []
    for kind, source, copy in (("keyfile", "key", "key"), ("known_hosts", "known", "known hosts")):
        path = rig.near.own(Path(shutil.copyfile(files[source], folder / copy)), 0o600)
        parameters.append(f"{kind}={quote(str(path))}")
    reader = read(uri(rig, "&".join(parameters)))
    outcomes = reader.ticks(2)
    works = outcomes == [True] * 2
    assert works or ("\n" in name and outcomes == [False] * 2), reader.plugin.log.lines
    assert len(reader.finish_with_errors()) == (0 if works else 1), reader.plugin.log.lines
    assert not mark.exists() and not Path("/executed").exists()


@pytest.mark.parametrize("part", ["user", "host", "path"])
def test_hostile_names(rig: Rig, read: Read, files: dict[str, Path], part: str) -> None:
    """A user, a host or a path that looks like an option or a command is not executed."""
    mark, far_mark = rig.near.home / "executed", rig.far.home / "executed"
    option = f"-oProxyCommand=touch%20{quote(str(mark), safe='')}"
    path = quote(f"/$(touch {far_mark})';touch {far_mark};'")
    hostile = {"user": {"user": option}, "host": {"host": option}, "path": {"path": path}}[part]
    reader = read(uri(rig, "keyfile={key}&known_hosts={known}".format(**files), **hostile))
    assert reader.ticks(2) == [False] * 2
    assert len(reader.finish_with_errors()) == 1
    assert not mark.exists() and not far_mark.exists()


@pytest.mark.parametrize("methods", ["agent", "agent,privkey"])
def test_agent(rig: Rig, read: Read, files: dict[str, Path], methods: str) -> None:
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
        text = f"known_hosts={files['known']}&sshauth={methods}"
        check_works(read(uri(rig, text), SSH_AUTH_SOCK=str(socket)))
    finally:
        kill(agent)
