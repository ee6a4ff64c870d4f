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


def rows() -> list[list[str]]:
    """For each row of the troubleshooting table of remote hypervisors, patterns for its messages:
    an ellipsis stands for any text."""
    table = PAGE.partition("### Remote hypervisors")[2]
    first = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    messages = [re.findall("`([^`]+)`", cell) for cell in first]
    return [[re.escape(text).replace("…", ".*") for text in row] for row in messages]


def refusal(case: dict[str, Any]) -> LibvirtError:
    """What the plugin makes of a recorded error."""
    error = LibvirtError(case["code"], case["domain"], case["message"], case["errno"])
    return refused(error, case["uri"], case["reasons"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_it_means_and_what_helps(case: dict[str, Any]) -> None:
    """Each recorded error has the right consequence, and the advice that fits."""
    found = refusal(case)
    assert found.kind.name == case["kind"]
    assert case["advice"] in advice(found, case["uri"])
    assert (found.code, found.domain, found.errno) == (case["code"], case["domain"], case["errno"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_message_is_short_and_discreet(case: dict[str, Any]) -> None:
    """A message is one short line, without user names, and without paths of keys and files."""
    message = refusal(case).message
    assert message.isprintable() and 0 < len(message) <= 600
    assert "monitor@" not in message and "telegraf@" not in message
    assert "/home/monitor/" not in message or "auth" in message
    for reason in case["reasons"]:
        assert reason in message


def test_polkit_is_no_advice_for_a_peer_that_is_not_authenticated_by_it() -> None:
    """Errors of TLS, TCP and ssh are never called an access problem of polkit."""
    for case in CASES:
        text = advice(refusal(case), case["uri"])
        assert ("polkit" in text) <= case["name"].startswith("polkit"), case["name"]
    error = refused(LibvirtError(88, 0, "access denied"), "qemu+ssh://host/system")
    assert "on that host" in advice(error, "qemu+ssh://host/system")


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
    assert refused(LibvirtError(38, 7, message), "qemu+ssh://me@host/system").message == short


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


def test_the_uri_within_a_message() -> None:
    """libvirt quotes it; what a regular expression would take for the end of it is found, too."""
    uri = "esx://root:pa' sword@host/?no_verify=1"
    found = refused(LibvirtError(1, 45, f"internal error: Unable to parse URI '{uri}'"), uri)
    assert found.message == "internal error: Unable to parse URI 'esx://host/'"


def test_paths_of_parameters_become_their_names() -> None:
    """The path is replaced by the name of the parameter that has it."""
    uri = "qemu+ssh://h/system?keyfile=/k/id%20rsa&socket=/run/sock"
    found = refused(LibvirtError(38, 7, 'Load key "/k/id rsa": bad; /run/sock: no'), uri)
    assert found.message == 'Load key "keyfile": bad; socket: no'


def test_a_question_mark_in_the_user_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows it is no parameter; neither its name nor its value changes the message."""
    monkeypatch.setattr(conceal, "_hidden", ())
    uri = "qemu+tcp://?wombat:@x@[::1]:1/system?known_hosts=/&y"
    hide(uri)
    found = refused(LibvirtError(1, 45, f"Unable to parse URI {uri}"), uri)
    assert found.message == "Unable to parse URI qemu+tcp://"


@pytest.mark.parametrize(
    ("user", "written"),
    [("joe%40corp.example", "joe@corp.example"), ("CORP%5Cjoe", "CORP\\\\joe")],
)
def test_user_names_of_a_directory(user: str, written: str) -> None:
    """The whole name is removed; ssh doubles a backslash."""
    message = f"Cannot recv data: {written}@h: Permission denied (publickey)."
    found = refused(LibvirtError(38, 7, message), f"qemu+ssh://{user}@h/system")
    assert found.message == "Cannot recv data: h: Permission denied (publickey)."


def test_the_home_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths below it begin with a tilde; a parameter with a tilde has its name, as others have."""
    monkeypatch.setenv("HOME", "/home/joe")
    message = "Bad owner on /home/joe/.ssh/config, /home/joe2/x, /srv/home/joe/x"
    found = refused(LibvirtError(38, 7, message), "qemu+ssh://h/system")
    assert found.message == "Bad owner on ~/.ssh/config, /home/joe2/x, /srv/home/joe/x"
    uri = "qemu+ssh://h/system?keyfile=~/my/key&known_hosts=/k"
    found = refused(LibvirtError(38, 7, 'Load key "/home/joe/my/key": bad, ~/my/key'), uri)
    assert found.message == 'Load key "keyfile": bad, keyfile'
    monkeypatch.setenv("HOME", "/")
    assert refused(LibvirtError(38, 7, "on /etc/x"), "qemu+ssh://h/system").message == "on /etc/x"


def test_each_row_of_the_troubleshooting_page_is_a_recorded_message() -> None:
    """Each message of the page is part of a message that the plugin makes of a recorded error."""
    messages = [refusal(case).message for case in CASES]
    assert len(rows()) > 30
    for row in rows():
        for text in row:
            assert any(re.search(text, message, re.IGNORECASE) for message in messages), text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_each_recorded_message_is_on_the_troubleshooting_page(case: dict[str, Any]) -> None:
    """A user who searches the page for a message finds it."""
    local = re.findall("`([^`]+)`", PAGE.partition("### Remote hypervisors")[0])
    texts = [text for row in rows() for text in row]
    texts += [re.escape(text).replace("…", ".*") for text in local if len(text) > 15]
    message = refusal(case).message
    assert any(re.search(text, message, re.IGNORECASE) for text in texts), message
