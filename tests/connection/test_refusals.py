"""Failed connection attempts, as libvirt and ssh report them: what they mean, and what helps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tomli

from telegraf_execd_libvirt.connection import conceal
from telegraf_execd_libvirt.connection.advice import advice
from telegraf_execd_libvirt.connection.conceal import hide
from telegraf_execd_libvirt.connection.errors import ErrorKind, LibvirtError
from telegraf_execd_libvirt.connection.refusals import refused

CASES: list[dict[str, Any]] = tomli.loads(
    (Path(__file__).parents[1] / "data/refusals.toml").read_text("utf-8")
)["case"]


PAGE = (Path(__file__).parents[2] / "docs/faults.md").read_text("utf-8")


def patterns(page: str, first_column: bool = False) -> list[str]:
    """Patterns for the messages on a page, for an ellipsis any text."""
    lines = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `")]
    texts = re.findall("`([^`]+)`", "\n".join(lines) if first_column else page)
    return [re.escape(text).replace("…", ".*") for text in texts]


#: The messages in the table of remote hypervisors, and those before it.
REMOTE = patterns(PAGE.partition("### Remote hypervisors")[2], first_column=True)
LOCAL = [text for text in patterns(PAGE.partition("### Remote hypervisors")[0]) if len(text) > 15]


def refusal(case: dict[str, Any]) -> LibvirtError:
    """What the plugin makes of a recorded error."""
    error = LibvirtError(case["code"], case["domain"], case["message"], case["errno"])
    return refused(error, case["uri"], case["reasons"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_it_means_and_what_helps(case: dict[str, Any]) -> None:
    """Each recorded error has the right consequence, and the advice that fits; errors of TLS, TCP
    and ssh are never called an access problem of polkit. The message is one short line, without
    user names, and without paths of keys and files; a user who searches the page for it finds
    it."""
    found = refusal(case)
    assert found.kind.name == case["kind"]
    assert (found.code, found.domain, found.errno) == (case["code"], case["domain"], case["errno"])
    text, message = advice(found, case["uri"]), found.message
    assert case["advice"] in text
    assert ("polkit" in text) <= case["name"].startswith("polkit")
    assert message.isprintable() and 0 < len(message) <= 600
    assert "monitor@" not in message and "telegraf@" not in message
    assert "/home/monitor/" not in message or "auth" in message
    assert all(reason in message for reason in case["reasons"])
    assert any(re.search(text, message, re.IGNORECASE) for text in (*REMOTE, *LOCAL))


def test_each_row_of_the_troubleshooting_page_is_a_recorded_message() -> None:
    """Each message of the page is part of a message that the plugin makes of a recorded error."""
    messages = "\n".join(refusal(case).message for case in CASES)
    assert len(REMOTE) > 30
    for text in REMOTE:
        assert re.search(text, messages, re.IGNORECASE), text


def message_of(uri: str, text: str) -> str:
    """What the plugin makes of libvirt's message."""
    return refused(LibvirtError(38, 7, text), uri).message


@pytest.mark.parametrize(
    ("message", "short"),
    [
        (
            "Cannot recv data: @@@@\r\n@  WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!  @\r\n"
            "@@@@\r\nIT IS POSSIBLE\r\nHost key verification failed.: Connection reset by peer",
            "Cannot recv data: WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!, "
            "Host key verification failed.: Connection reset by peer",
        ),
        (
            "Cannot recv data: ****\n* Authorized access only. *\n****\n"
            "me@host: Permission denied (publickey).: Connection reset by peer",
            "Cannot recv data: host: Permission denied (publickey).: Connection reset by peer",
        ),
        ("End of file: one\ntwo\nthe last word", "End of file: the last word"),
        ("one line", "one line"),
    ],
)
def test_a_banner_becomes_one_line(message: str, short: str) -> None:
    """Of several lines those that say what is wrong are kept, or the last."""
    assert message_of("qemu+ssh://me@host/system", message) == short


@pytest.mark.parametrize("uri", ["kvm2", "qemu+SSH://kvm2/system", "qemu+ssh://kvm2/system"])
@pytest.mark.parametrize(
    ("message", "short"),
    [
        (
            "Cannot recv data: monitor@10.0.0.5: Permission denied (publickey).: Connection reset",
            "Cannot recv data: 10.0.0.5: Permission denied (publickey).: Connection reset",
        ),
        (
            "Cannot recv data: Received disconnect from ::1 port 22:2: Too many authentication "
            "failures\r\nDisconnected from ::1 port 22: Connection reset by peer",
            "Cannot recv data: Received disconnect from ::1 port 22:2: Too many authentication "
            "failures, Disconnected from ::1 port 22: Connection reset by peer",
        ),
    ],
)
def test_a_refused_key_by_any_name_of_the_host(uri: str, message: str, short: str) -> None:
    """An alias of libvirt.conf, and an upper-case transport, are no reason to try at each tick; the
    user name is removed, also before a host name that only ssh's configuration has."""
    found = refused(LibvirtError(38, 7, message), uri)
    assert (found.kind, found.message) == (ErrorKind.DENIED, short)
    assert "authorized_keys" in found.help


def test_ssh_is_missing_here() -> None:
    """The advice is about this host."""
    for message in ("/tmp/x/ssh: 2: exec: ssh: not found", "cannot execute binary ssh"):
        found = refused(LibvirtError(38, 7, message), "qemu+ssh://h/system?known_hosts=/k")
        assert "installed here" in found.help


QUOTED = "internal error: Unable to parse URI '{}'"
JOE = "qemu+ssh://h/system?keyfile=~/my/key&known_hosts=/k"


@pytest.mark.parametrize(
    ("uri", "text", "shown"),
    [
        # The URI within a message: also what a regular expression would take for the end of it.
        (
            *("esx://root:pa' sword@host/?no_verify=1", QUOTED),
            "internal error: Unable to parse URI 'esx://host/'",
        ),
        # What follows a question mark in the user part is no parameter.
        (
            *("qemu+tcp://?wombat:@x@[::1]:1/system?known_hosts=/&y", "Unable to parse URI {}"),
            "Unable to parse URI qemu+tcp://",
        ),
        # A path is replaced by the name of the parameter that has it.
        (
            "qemu+ssh://h/system?keyfile=/k/id%20rsa&socket=/run/sock",
            *('Load key "/k/id rsa": bad; /run/sock: no', 'Load key "keyfile": bad; socket: no'),
        ),
        (JOE, 'Load key "/home/joe/my/key": bad, ~/my/key', 'Load key "keyfile": bad, keyfile'),
        # The whole name of a user is removed; ssh doubles a backslash.
        ("qemu+ssh://joe%40corp.example@h/system", "joe@corp.example@h: no key", "h: no key"),
        ("qemu+ssh://CORP%5Cjoe@h/system", "CORP\\\\joe@h: no key", "h: no key"),
        # Paths below the home begin with a tilde.
        (
            *(JOE, "Bad owner on /home/joe/.ssh/config, /home/joe2/x, /srv/home/joe/x"),
            "Bad owner on ~/.ssh/config, /home/joe2/x, /srv/home/joe/x",
        ),
    ],
)
def test_what_a_message_does_not_show(
    monkeypatch: pytest.MonkeyPatch, uri: str, text: str, shown: str
) -> None:
    """The parts of the URI that may be secret, and the home."""
    monkeypatch.setattr(conceal, "_hidden", ())
    monkeypatch.setenv("HOME", "/home/joe")
    hide(uri)
    assert message_of(uri, text.format(uri)) == shown
    monkeypatch.setenv("HOME", "/")
    assert message_of(uri, "on /etc/x") == "on /etc/x"
