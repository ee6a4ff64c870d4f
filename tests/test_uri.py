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

MESSAGE = "[0] (test:///a@b): x@y, (qemu+ssh://h:22): z"


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
        (MESSAGE, MESSAGE),
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


def test_a_long_text_is_redacted() -> None:
    """No text of a daemon holds up the program: this took hours when it grew with the square."""
    assert redact("://" * 200_000).startswith("://")
    assert redact("://a?" * 200_000) == "://a"


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
    ("uri", "driver", "of_uri", "remote"),
    [
        ("qemu:///system", ("qemu", ""), "", False),
        ("qemu+unix:///system?socket=/a@b", ("qemu", "unix"), "unix", False),
        ("qemu://host/system", ("qemu", ""), "", True),  # libvirt takes TLS
        ("esx://root@host/?no_verify=1", ("esx", ""), "", True),
        ("qemu+SSH:///system", ("qemu", "ssh"), "ssh", True),
        ("kvm2", ("kvm2", ""), "alias", True),
    ],
)
def test_where_a_uri_leads(uri: str, driver: tuple[str, str], of_uri: str, remote: bool) -> None:
    """The scheme has the driver and the transport. A host or a transport leads elsewhere, and an
    alias may; its transport cannot be known."""
    assert (driver_and_transport(uri), transport(uri), is_remote(uri)) == (driver, of_uri, remote)


@pytest.mark.parametrize(
    ("uri", "user", "password"),
    [
        ("qemu:///system", "", False),
        ("alias", "", False),
        ("test:///path/with:colon@sign", "", False),
        ("esx://host?a=b@c", "", False),
        ("qemu+ssh://root@host/system?keyfile=/k", "root", False),
        ("qemu+ssh://me%40org:secret@host:22/system", "me@org", True),
        ("esx://root:sec/ret@host/", None, True),
        ("esx://root:secret", None, True),
        ("x://host/?password=secret", "", True),
        ("x://host/?a=1&auth_token=t", "", True),
    ],
)
def test_the_user_and_the_password(uri: str, user: object, password: bool) -> None:
    """A password is found in the user part, behind the name, and in the query."""
    assert has_password(uri) is password
    assert user is None or user_name(uri) == user


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
    for query, changed in (
        ("", "?x=1"),
        ("?z=1", "?x=1"),
        ("?y=%20#f", "?y=%20&x=1#f"),
        ("?Z=1&y=%20;z=2#f", "?y=%20&x=1#f"),
    ):
        assert with_parameter(f"a://h/p{query}", "x", "1", without="z") == f"a://h/p{changed}"
