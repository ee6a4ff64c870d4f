"""Wrong credentials, wrong names and peers that are something else: no metrics, one message."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support import sasl, tls
from support.near import HOST, OTHER_HOST
from support.plugin import Plugin
from support.readers import Reader
from support.relay import Relay
from support.remote import FAR, free_port
from support.sshd import Sshd, make_key
from support.transports import DIGEST, LIBSSH, SCRAM, SSH, TCP, TLS, Rig

UNKNOWN_HOST = "nosuch.invalid"


def check(reader: Reader) -> None:
    """Ticks give no metrics, and one message that gives away no secret; the plugin lives on."""
    assert reader.ticks(3) == [False] * 3
    (message,) = reader.finish_with_errors()
    source, colon, _ = message.partition("): ")
    assert source.startswith("E! inputs.libvirt[0] (test+") and colon
    assert FAR not in source and "?" not in source
    assert sasl.PASSWORD not in reader.plugin.log.text


@pytest.mark.parametrize("transport", [TCP, DIGEST, TLS, SCRAM, SSH, *LIBSSH])
@pytest.mark.parametrize("host", [UNKNOWN_HOST, HOST])
def test_nobody_is_there(rig: Rig, read: Callable[..., Reader], transport: str, host: str) -> None:
    """A host name that does not exist, and a port that is closed."""
    check(read(rig.uri(transport, host=host, port=free_port())))


@pytest.mark.parametrize("transport", [TCP, TLS, SSH, *LIBSSH])
def test_the_peer_hangs_up(rig: Rig, read: Callable[..., Reader], transport: str) -> None:
    """A peer that closes each connection at once."""
    with Relay(hanging_up=True) as relay:
        check(read(rig.uri(transport, port=relay.port)))
        assert relay.connections


@pytest.mark.parametrize(("transport", "other"), [(TCP, TLS), (TLS, TCP), (SSH, TCP)])
def test_a_port_of_another_protocol(
    rig: Rig, read: Callable[..., Reader], transport: str, other: str
) -> None:
    """A port where something else listens."""
    check(read(rig.uri(transport, port=rig.port(other))))


@pytest.mark.parametrize("transport", [DIGEST, SCRAM])
@pytest.mark.parametrize(
    "text",
    [
        sasl.auth_conf(HOST, password="wr0ng"),
        sasl.auth_conf(HOST, user="stranger"),
        sasl.auth_conf(OTHER_HOST),
        "garbage",
        None,
    ],
    ids=["password", "user", "section", "garbage", "missing"],
)
def test_wrong_auth_conf(
    rig: Rig, read: Callable[..., Reader], transport: str, text: str | None
) -> None:
    """A wrong password, another user, another host's credentials, no file."""
    path = rig.near.write("wrong-auth.conf", text or "")
    if text is None:
        path.unlink()
    check(read(rig.uri(transport), LIBVIRT_AUTH_FILE=str(path)))


def test_a_mechanism_that_needs_tls(rig: Rig, read: Callable[..., Reader]) -> None:
    """scram-sha-256 does not encrypt, so libvirt refuses it over TCP."""
    check(read(rig.uri(TCP, port=rig.host_of(SCRAM).tcp_port)))


@pytest.mark.parametrize("case", ["none", "unknown CA", "no encipherment", "key unreadable"])
def test_wrong_client_certificate(rig: Rig, read: Callable[..., Reader], case: str) -> None:
    """No certificate, or one that is not good for this."""
    name, authority = f"pki {case}", rig.authority
    certificate = None
    if case == "unknown CA":
        other = tls.Authority(rig.folder / "pki", "other", rig.authority.key)
        certificate = other.issue("other-client", tls.CLIENT)
    elif case != "none":
        template = tls.CLIENT.replace(
            "encryption_key\n", "" if "no" in case else "encryption_key\n"
        )
        certificate = authority.issue("some-client", template)
    pki = rig.make_pki(name, certificate)
    if case == "key unreadable":
        (pki / "clientkey.pem").chmod(0)
    check(read(rig.uri(TLS, pkipath=pki)))


def test_refused_client_certificate(rig: Rig, read: Callable[..., Reader]) -> None:
    """A good certificate of somebody whom the server does not know; another one is let in."""
    settings = rig.authority.settings(rig.certificate)
    allowed = {**settings, "tls_allowed_dn_list": '["CN=near-user"]'}
    with rig.new_host("dn", allowed) as far:
        assert read(rig.uri(TLS, port=far.tls_port)).tick()
        pki = rig.make_pki("pki-stranger", rig.authority.issue("stranger", tls.STRANGER))
        check(read(rig.uri(TLS, port=far.tls_port, pkipath=pki)))


EXPIRED = 'activation_date = "2020-01-01 00:00:00"\nexpiration_date = "2021-01-01 00:00:00"\n'


@pytest.mark.parametrize("case", ["expired", "no encipherment", "unknown CA"])
def test_wrong_server_certificate(rig: Rig, read: Callable[..., Reader], case: str) -> None:
    """A server that the client cannot trust."""
    authority = rig.authority
    usage = tls.USAGE.replace("encryption_key\n", "") if case == "no encipherment" else tls.USAGE
    template = tls.server(HOST, usage=usage, more=EXPIRED if case == "expired" else "")
    if case == "unknown CA":
        authority = tls.Authority(rig.folder / "pki", "other", rig.authority.key)
    settings = rig.authority.settings(authority.issue("wrong-server", template))
    with rig.new_host(case.replace(" ", "-"), settings) as far:
        check(read(rig.uri(TLS, port=far.tls_port)))


@pytest.mark.parametrize("host", [OTHER_HOST, "127.0.0.1"])
def test_a_name_that_is_not_in_the_certificate(
    rig: Rig, read: Callable[..., Reader], host: str
) -> None:
    """Another name of the server, or its address."""
    check(read(rig.uri(TLS, host=host)))


@pytest.mark.parametrize("transport", [SSH, *LIBSSH])
@pytest.mark.parametrize("case", ["refused", "missing", "unreadable"])
def test_wrong_key(rig: Rig, read: Callable[..., Reader], transport: str, case: str) -> None:
    """A key that the far host does not know, or that is not there."""
    key = rig.near.home / f"key-{case}"
    if case == "refused":
        rig.near.own(make_key(key), 0o600)
    elif case == "unreadable":
        key.write_text(rig.key.read_text())
        key.chmod(0o600)
    check(read(rig.uri(transport, keyfile=key)))


def test_a_key_that_others_may_read(rig: Rig, read: Callable[..., Reader]) -> None:
    """ssh ignores it, and says so in many lines."""
    key = rig.near.write("key-open", rig.key.read_text(), 0o644)
    check(read(rig.uri(SSH, keyfile=key)))


@pytest.mark.parametrize("transport", [SSH, *LIBSSH])
def test_a_user_that_is_not_let_in(rig: Rig, read: Callable[..., Reader], transport: str) -> None:
    """A user that the far host does not have."""
    check(read(rig.uri(transport, user="nosuch")))


@pytest.mark.parametrize("transport", [SSH, *LIBSSH])
@pytest.mark.parametrize("case", ["unknown", "changed"])
def test_wrong_host_key(rig: Rig, read: Callable[..., Reader], transport: str, case: str) -> None:
    """A far host whose key the near user does not have, or has another one of."""
    other = Sshd(rig.far, f"sshd-{case}-{transport}")
    kind, public, *_ = make_key(rig.folder / "a_key").with_suffix(".pub").read_text().split()
    line = f"[{HOST}]:{other.port} {kind} {public}\n" if case == "changed" else ""
    known = rig.near.write("known_hosts-wrong", line)
    if transport in LIBSSH:
        check(read(rig.uri(transport, port=other.port, known_hosts=known)))
    else:
        with rig.other_known_hosts(line):
            check(read(rig.uri(transport, port=other.port)))


def test_a_far_shell_that_prints(rig: Rig, read: Callable[..., Reader]) -> None:
    """What the far user's shell prints at login is not libvirt's protocol."""
    command = 'echo "welcome to this host"; eval "$SSH_ORIGINAL_COMMAND"'
    loud = Sshd(rig.far, "loud", f"ForceCommand {command}")
    key = rig.near.write("key-loud", loud.key.read_text())
    with rig.other_known_hosts(loud.known_hosts(f"[{HOST}]:{loud.port}")):
        check(read(rig.uri(SSH, port=loud.port, keyfile=key)))


def test_a_transport_that_does_not_exist(rig: Rig) -> None:
    """libvirt knows no such transport; --once ends with 1."""
    arguments = ("--once", "--uri", f"test+foo://{HOST}/default")
    with Plugin(*arguments, prefix=rig.near.prefix, env=rig.near.environment()) as plugin:
        assert plugin.wait() == 1
        (line,) = plugin.log.lines
        assert line.startswith("E!") and "transport" in line
