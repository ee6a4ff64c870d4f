"""The parts of a URI that may be shown."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from telegraf_execd_libvirt.uri import (
    cut,
    driver_and_transport,
    has_password,
    is_remote,
    parameters,
    redact,
    redact_uri,
    transport,
    user_name,
    with_parameter,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("qemu:///system", "qemu:///system"),
        ("qemu+ssh://root:secret@host:22/system?keyfile=/k", "qemu+ssh://host:22/system"),
        ("qemu+unix:///system?socket=/run/x", "qemu+unix:///system"),
        ("cannot open 'esx://me:pa@ss@host/?a=b': no", "cannot open 'esx://host/': no"),
        ("two a://u@h/x?y b://p:q@h2/z?w end", "two a://h/x b://h2/z end"),
        ("no uri at all? yes@home", "no uri at all? yes@home"),
        ("open 'a://u:it's@h/?k=/it's/K': no, a://u'v@h", "open 'a://h/': no, a://h"),
        (
            "[0] (test:///a@b): x@y, (qemu+ssh://h:22): z",
            "[0] (test:///a@b): x@y, (qemu+ssh://h:22): z",
        ),
        ("at a://u:p/w@h/x: no; a://h:pass", "at a://: no; a://"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    """User names, passwords and queries are removed, also within a message."""
    assert redact(text) == shown


def test_a_text_is_cut_before_a_uri_that_is_incomplete() -> None:
    """What is left of it might be a part of a password."""
    assert cut("at esx://root:secret@host", 25) == "at esx://root:secret@host"
    assert cut("at esx://root:secret@host, no", 18) == "at esx://…"
    assert cut("at esx://host/ since then", 18) == "at esx://host/ si…"


def test_the_time_to_redact_is_linear() -> None:
    """No text of a daemon holds up the program: this took hours when it grew with the square."""
    assert redact("://" * 2_000_000).startswith("://")
    assert redact("://a?" * 1_000_000) == "://a"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("qemu:///system", "qemu:///system"),
        ("kvm2", "kvm2"),
        ("root:secret@host", "…"),
        ("root:secret x://host", "…"),
        ("esx://root:secret", "esx://"),
        ("qemu+tcp://DOM/user@127.0.0.1:1/system", "qemu+tcp://"),
        ("qemu+ssh://root:secret@host:22/system?keyfile=/k", "qemu+ssh://host:22/system"),
        ("qemu+ssh://host:22/system?keyfile=/a@b#c", "qemu+ssh://host:22/system"),
        ("qemu+unix:///system?socket=/run/x@y", "qemu+unix:///system"),
        ("test:///path/with:colon@sign", "test:///path/with:colon@sign"),
        ("test+ssh://me@[::1]:22/a@b:c?flag&k=d@e", "test+ssh://"),
        ("qemu+tls://me@[::1]:22/a:b", "qemu+tls://[::1]:22/a:b"),
        ("esx://root:pa'sswordX@127.0.0.1:1/?no_verify=1", "esx://127.0.0.1:1/"),
        ('esx://root:a "quoted" one@h/', "esx://h/"),
        ("qemu+ssh://h/system?keyfile=/home/it's/KEY", "qemu+ssh://h/system"),
        *((f"esx://root:pa{c}ss@h/?no_verify=1", "esx://h/") for c in "@:"),
        *((f"esx://ro@ot:pa{c}ss@h:1/", "esx://") for c in "/?#"),
        ("esx://root:12/34@h/?proxy=http://a:b@c", "esx://"),
        ("esx://root:12?34@h/#a@b", "esx://"),
    ],
)
def test_redact_uri(uri: str, shown: str) -> None:
    """A password with any characters is removed from a bare URI; ordinary paths stay."""
    assert redact_uri(uri) == shown


SECRET = st.text(st.characters(exclude_categories=("Cs",))) | st.text("aB1/?#@:&=;% '\"\\[]")


@given(user=SECRET, password=SECRET, query=SECRET, host=st.sampled_from(["h.example:1", "[::1]"]))
@example(user="DOM/user", password="", query="", host="[::1]")
@example(user="root", password="pass word", query="key=/a@b", host="[::1]")
@example(user="a", password="x?no=/b", query="", host="[::1]")
def test_no_secret_is_shown(user: str, password: str, query: str, host: str) -> None:
    """Whatever is in the user part and in the parameters, at most scheme, host and path stay."""
    uri = f"esx+x://{user}:{password}@{host}/a:b?{query}"
    assert redact_uri(uri) in ("esx+x://", f"esx+x://{host}/a:b")
    if "@" not in query and not re.search("[/?#]", user + password):
        assert redact_uri(uri) == f"esx+x://{host}/a:b"
    if not re.search(r"[\s'\"]", user + password + query):
        assert redact(f"at '{uri}': no") in ("at 'esx+x://': no", f"at 'esx+x://{host}/a:b': no")


@pytest.mark.parametrize(
    ("uri", "holds"),
    [
        ("qemu:///system", False),
        ("qemu+ssh://root@host/system?keyfile=/k", False),
        ("esx://root:secret@host/", True),
        ("esx://root:sec/ret@host/", True),
        ("esx://root:secret", True),
        ("x://host/?password=secret", True),
        ("x://host/?a=1&auth_token=t", True),
        ("test:///path/with:colon@sign", False),
    ],
)
def test_has_password(uri: str, holds: bool) -> None:
    """A password is found in the user part and in the query."""
    assert has_password(uri) is holds


def test_driver_and_transport() -> None:
    """The scheme is split into driver and transport."""
    assert driver_and_transport("qemu+ssh://h/system") == ("qemu", "ssh")
    assert driver_and_transport("qemu:///system") == ("qemu", "")


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("qemu:///system", {}),
        ("a://h/p?x=1&Y=%20z;x=2#f?q=1", {"x": "1", "y": " z"}),
        ("a://h/p?k=/a%26b+c&empty", {"k": "/a&b+c", "empty": ""}),
    ],
)
def test_parameters(uri: str, found: dict[str, str]) -> None:
    """Parameters are decoded; the first of a name counts, as libvirt has it."""
    assert parameters(uri) == found


def test_a_parameter_is_added_and_removed() -> None:
    """The rest of the URI stays as it is."""
    assert with_parameter("a://h/p", "x", "1", without="z") == "a://h/p?x=1"
    assert with_parameter("a://h/p?y=%20#f", "x", "1", without="z") == "a://h/p?y=%20&x=1#f"
    assert with_parameter("a://h/p?Z=1&y=%20;z=2#f", "x", "1", without="z") == "a://h/p?y=%20&x=1#f"
    assert with_parameter("a://h/p?z=1", "x", "1", without="z") == "a://h/p?x=1"


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("qemu:///system", ""),
        ("qemu+ssh://me%40org:secret@host:22/system", "me@org"),
        ("esx://host?a=b@c", ""),
        ("alias", ""),
    ],
)
def test_user_name(uri: str, found: str) -> None:
    """The password and the host are left out."""
    assert user_name(uri) == found


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("qemu:///system", ""),
        ("qemu+SSH://h/system", "ssh"),
        ("qemu+tls:///system", "tls"),
        ("kvm2", "alias"),
    ],
)
def test_transport(uri: str, found: str) -> None:
    """The transport is in lower case; an alias has none that can be known."""
    assert transport(uri) == found


@pytest.mark.parametrize(
    ("uri", "remote"),
    [
        ("qemu:///system", False),
        ("qemu+unix:///system?socket=/a@b", False),
        ("qemu://host/system", True),  # libvirt takes TLS
        ("esx://root@host/?no_verify=1", True),
        ("qemu+ssh:///system", True),
        ("kvm2", True),
    ],
)
def test_is_remote(uri: str, remote: bool) -> None:
    """A host or a transport leads elsewhere, and an alias may."""
    assert is_remote(uri) is remote
