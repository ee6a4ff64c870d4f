"""Wrong credentials, wrong names and peers that are something else: no metrics, and one short
message with the reason and without secrets. Users, passwords and paths that no message may have
have the word `secret`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from itertools import product

import pytest

from support import sasl, tls
from support.near import HOST, OTHER_HOST
from support.plugin import Plugin, eventually
from support.process import free_port
from support.readers import Reader
from support.relay import Relay
from support.remote import FAR
from support.sshd import Sshd
from support.transports import DIGEST, LIBSSH, SCRAM, SSH, TCP, TLS, Rig

UNKNOWN_HOST = "nosuch.invalid"
MOST_CHARACTERS = 600  # libssh and libssh2 have long ones
BY_SSH = pytest.mark.parametrize("transport", [SSH, *LIBSSH])

Read = Callable[..., Reader]


def check(reader: Reader, reason: str = "") -> str:
    """Ticks give no metrics, and one message; the plugin lives on. Return the message."""
    assert reader.ticks(3) == [False] * 3
    (message,) = reader.finish_with_errors()
    source, colon, text = message.partition("): ")
    assert source.startswith("E! inputs.libvirt[0] (test+") and colon
    assert FAR not in source and "?" not in source
    log = reader.plugin.log.text
    assert "secret" not in log and sasl.PASSWORD not in log and "@@" not in log, log
    assert len(message) <= MOST_CHARACTERS and reason in text, message
    return text


@pytest.mark.parametrize("transport", [TCP, DIGEST, TLS, SCRAM, SSH, *LIBSSH])
@pytest.mark.parametrize("host", [UNKNOWN_HOST, HOST])
def test_nobody_is_there(rig: Rig, read: Read, transport: str, host: str) -> None:
    """A host name that does not exist, and a port that is closed."""
    check(read(rig.uri(transport, host=host, port=free_port())))


@pytest.mark.parametrize("transport", [TCP, TLS, SSH, *LIBSSH])
def test_the_peer_hangs_up(rig: Rig, read: Read, transport: str) -> None:
    """A peer that closes each connection at once."""
    with Relay(hanging_up=True) as relay:
        check(read(rig.uri(transport, port=relay.port)))
        assert relay.connections


@pytest.mark.parametrize(("transport", "other"), [(TCP, TLS), (TLS, TCP), (SSH, TCP), (TCP, SCRAM)])
def test_a_port_of_another_protocol(rig: Rig, read: Read, transport: str, other: str) -> None:
    """A port where something else listens; scram-sha-256 does not encrypt, so libvirt refuses it
    over TCP."""
    port = rig.host_of(SCRAM).tcp_port if other == SCRAM else rig.port(other)
    check(read(rig.uri(transport, port=port)))


@pytest.mark.parametrize("transport", [DIGEST, SCRAM])
@pytest.mark.parametrize(
    "text",
    [
        sasl.auth_conf(HOST, password="secret-wr0ng"),
        sasl.auth_conf(HOST, user="secret-stranger", password="secret-wr0ng"),
        sasl.auth_conf(OTHER_HOST),
        "garbage",
        None,
    ],
    ids=["password", "user", "section", "garbage", "missing"],
)
def test_wrong_auth_conf(rig: Rig, read: Read, transport: str, text: str | None) -> None:
    """A wrong password, another user, another host's credentials, no file."""
    path = rig.near.write("secret-auth.conf", text or "")
    if text is None:
        path.unlink()
    check(read(rig.uri(transport), LIBVIRT_AUTH_FILE=str(path)))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("none", ""),
        ("unknown CA", ""),
        ("no encipherment", "key encipherment"),
        ("key unreadable", ""),
        ("stranger", ""),
    ],
)
def test_wrong_client_certificate(rig: Rig, read: Read, case: str, reason: str) -> None:
    """No certificate, one that is not good for this, or one of somebody whom the server does not
    know, while another one is let in."""
    authority = rig.authority
    template = tls.STRANGER if case == "stranger" else tls.CLIENT
    if case == "no encipherment":
        template = template.replace("encryption_key\n", "")
    if case == "unknown CA":
        authority = tls.Authority(rig.folder / "pki", "other", rig.authority.key)
    certificate = None if case == "none" else authority.issue("some-client", template)
    pki = rig.make_pki(f"secret-pki {case}", certificate)
    if case == "key unreadable":
        (pki / "clientkey.pem").chmod(0)
    with ExitStack() as stack:
        port = rig.port(TLS)
        if case == "stranger":
            allowed = {"tls_allowed_dn_list": '["CN=near-user"]'}
            settings = {**rig.authority.settings(rig.certificate), **allowed}
            port = stack.enter_context(rig.new_host("dn", settings)).tls_port
            assert read(rig.uri(TLS, port=port)).tick()
        check(read(rig.uri(TLS, port=port, pkipath=pki)), reason)


EXPIRED = 'activation_date = "2020-01-01 00:00:00"\nexpiration_date = "2021-01-01 00:00:00"\n'


@pytest.mark.parametrize(
    ("case", "reason"),
    [("expired", "not trusted"), ("no-encipherment", "key encipherment"), ("unknown-CA", "")],
)
def test_wrong_server_certificate(rig: Rig, read: Read, case: str, reason: str) -> None:
    """A server that the client cannot trust."""
    authority = rig.authority
    usage = tls.USAGE.replace("encryption_key\n", "") if case == "no-encipherment" else tls.USAGE
    template = tls.server(HOST, usage=usage, more=EXPIRED if case == "expired" else "")
    if case == "unknown-CA":
        authority = tls.Authority(rig.folder / "pki", "other", rig.authority.key)
    settings = rig.authority.settings(authority.issue("wrong-server", template))
    with rig.new_host(case, settings) as far:
        check(read(rig.uri(TLS, port=far.tls_port)), reason)


def test_a_certificate_for_another_purpose(rig: Rig, read: Read) -> None:
    """It works, and libvirt's own warning does not come through."""
    usage = "tls_www_client\nencryption_key\nsigning_key\n"
    certificate = rig.authority.issue("client-only", tls.server(HOST, usage=usage))
    with rig.new_host("client-only", rig.authority.settings(certificate)) as far:
        reader = read(rig.uri(TLS, port=far.tls_port))
        assert reader.tick()
        assert "virNet" not in reader.plugin.log.text and "warning :" not in reader.plugin.log.text


@pytest.mark.parametrize("host", [OTHER_HOST, "127.0.0.1"])
def test_a_name_that_is_not_in_the_certificate(rig: Rig, read: Read, host: str) -> None:
    """Another name of the server, or its address. libvirt gives the reason only in its own log; it
    is a part of this message, and of no later one."""
    check(read(rig.uri(TLS, host=host)), f"does not match the hostname {host}")
    assert "hostname" not in check(read(rig.uri(TLS, port=free_port())))


@BY_SSH
@pytest.mark.parametrize("case", ["refused", "missing", "unreadable", "user"])
def test_wrong_key(rig: Rig, read: Read, transport: str, case: str) -> None:
    """A key that the far host does not know, that is not there or that the user may not read; a
    user that the far host does not have."""
    key = rig.near.home / f"secret-key-{case}"
    if case in ("refused", "user"):
        rig.other_key(key.name)
    elif case == "unreadable":
        key.write_text(rig.key.read_text())
        key.chmod(0o600)
    check(
        read(rig.uri(transport, keyfile=key, **{"user": "secret-user"} if case == "user" else {}))
    )


@pytest.mark.parametrize(
    ("transport", "case"),
    [(SSH, "revoked"), *product((SSH, *LIBSSH), ("unknown", "changed"))],
)
def test_wrong_host_key(rig: Rig, read: Read, transport: str, case: str) -> None:
    """A far host whose key the near user does not have, has another one of, or does not trust any
    more. ssh frames its warnings with many @; its reason is the message."""
    other = Sshd(rig.far, f"sshd-{case}-{transport}")
    name = f"[{HOST}]:{other.port}"
    line = {
        "unknown": "",
        "changed": f"{name} {rig.other_public_key()}\n",
        "revoked": f"@revoked {other.known_hosts(name)}",
    }[case]
    if transport in LIBSSH:
        known = rig.near.write("secret-known_hosts", line)
        check(read(rig.uri(transport, port=other.port, known_hosts=known)))
        return
    with rig.other_known_hosts(line):
        text = check(read(rig.uri(transport, port=other.port)))
    assert {"changed": "host key", "revoked": "do not trust it"}.get(case, "") in text.lower()


def test_a_key_that_others_may_read(rig: Rig, read: Read) -> None:
    """ssh ignores it, and says so in many lines."""
    key = rig.near.write("secret-key-open", rig.key.read_text(), 0o644)
    assert "permissions" in check(read(rig.uri(SSH, keyfile=key))).lower()


def test_what_the_far_host_prints(rig: Rig, read: Read) -> None:
    """What the far user's shell prints at login is not libvirt's protocol; the far host's notice to
    all who connect is not the reason."""
    command = 'echo "welcome to this host"; eval "$SSH_ORIGINAL_COMMAND"'
    loud = Sshd(rig.far, "loud", f"ForceCommand {command}")
    key = rig.near.write("key-loud", loud.key.read_text())
    with rig.other_known_hosts(loud.known_hosts(f"[{HOST}]:{loud.port}")):
        check(read(rig.uri(SSH, port=loud.port, keyfile=key)))
    banner = rig.far.folder / "banner"
    banner.write_text("*" * 70 + "\n* Authorized access only. Everything is logged.\n" + "*" * 70)
    sshd = Sshd(rig.far, "banner-sshd", f"Banner {banner}")
    with rig.other_known_hosts(sshd.known_hosts(f"[{HOST}]:{sshd.port}")):
        text = check(read(rig.uri(SSH, port=sshd.port)), "Permission denied")  # the other's key
    assert "Authorized access" not in text and "**" not in text


def test_reasons_that_change(rig: Rig, read: Read) -> None:
    """Two reasons that take turns are reported once each. Once the host key is known, the message
    is about the key that the host refuses."""
    with Relay(rig.port(TCP)) as relay:
        reader = read(rig.uri(TCP, port=relay.port, path="/no/such/file.xml"))
        for _ in range(8):
            relay.hanging_up = not relay.hanging_up
            assert not reader.tick()
        assert relay.connections == 8
        errors = reader.finish_with_errors()
    assert len(errors) == 2, errors
    with rig.other_known_hosts(""):
        reader = read(rig.uri(SSH, keyfile=rig.other_key("wrong_key")))
        assert not reader.tick()
    assert eventually(lambda: not reader.tick() and "Permission denied" in reader.plugin.log.text)
    assert not reader.tick()
    first, second = reader.finish_with_errors()
    assert "Host key verification failed" in first and "authorized_keys" in second


@BY_SSH
def test_a_far_host_without_libvirtd(rig: Rig, read: Read, transport: str) -> None:
    """libssh2 has two messages for this, at random."""
    rig.far.kill()
    rig.far.read_only.unlink()
    reader = read(rig.uri(transport))
    assert reader.ticks(8) == [False] * 8
    errors = reader.finish_with_errors()
    assert 1 <= len(errors) == len({*errors}) <= 2, errors


def test_a_transport_that_does_not_exist(rig: Rig) -> None:
    """libvirt knows no such transport; --once ends with 1."""
    arguments = ("--once", "--uri", f"test+foo://{HOST}/default")
    with Plugin(*arguments, prefix=rig.near.prefix, env=rig.near.environment()) as plugin:
        assert plugin.wait() == 1
        (line,) = plugin.log.lines
        assert line.startswith("E!") and "transport" in line
