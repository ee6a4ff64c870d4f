"""A far host that refuses the credentials is not asked at each tick: it might lock the host out."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from support import sasl, tls
from support.near import HOST
from support.readers import Reader, Readers
from support.relay import Relay
from support.sshd import Sshd, make_key
from support.transports import DIGEST, LIBSSH, SCRAM, SSH, TLS, Rig

TICKS, MOST_CONNECTIONS = 20, 5


def test_refused_credentials(rig: Rig, read: Callable[..., Reader]) -> None:
    """20 ticks, one each second, make at most five connections."""
    settings = rig.authority.settings(rig.certificate)
    allowed = {**settings, "tls_allowed_dn_list": '["CN=near-user"]'}
    wrong_password = rig.near.write("wrong-auth.conf", sasl.auth_conf(HOST, password="wr0ng"))
    wrong_key = rig.near.own(make_key(rig.near.home / "wrong_key"), 0o600)
    pki = rig.make_pki("pki-stranger", rig.authority.issue("stranger", tls.STRANGER))
    with ExitStack() as stack:
        picky = stack.enter_context(rig.new_host("picky", allowed))
        ports = {name: rig.port(name) for name in (DIGEST, SCRAM, SSH, *LIBSSH)}
        ports[TLS] = picky.tls_port
        relays = {name: stack.enter_context(Relay(port)) for name, port in ports.items()}
        readers = Readers()
        for name, relay in relays.items():
            wrong = {TLS: {"pkipath": pki}, DIGEST: {}, SCRAM: {}}.get(name, {"keyfile": wrong_key})
            uri = rig.uri(name, port=relay.port, **wrong)
            readers[name] = read(uri, LIBVIRT_AUTH_FILE=str(wrong_password))
        begun = time.monotonic()
        for number in range(TICKS):
            assert readers.tick() == set()
            time.sleep(max(0.0, begun + number + 1 - time.monotonic()))
        connections = {name: relay.connections for name, relay in relays.items()}
    assert min(connections.values()) > 0 and max(connections.values()) <= MOST_CONNECTIONS, (
        connections
    )
    for reader in readers.values():
        assert len(reader.finish_with_errors()) == 1, reader.plugin.log.lines


def test_a_long_banner_before_a_refusal(rig: Rig, read: Callable[..., Reader]) -> None:
    """libvirt cannot read so much of ssh's messages, and loses the reason; with a parameter that
    the plugin hands to ssh there is no banner. Both cause few connections."""
    banner = rig.far.folder / "long-banner"
    banner.write_text("* Authorized access only. Everything is logged. *\n" * 60)
    sshd = Sshd(rig.far, "long-banner-sshd", f"Banner {banner}")
    with ExitStack() as stack:
        relays = [stack.enter_context(Relay(sshd.port)) for _ in range(2)]
        names = [f"[{HOST}]:{relay.port}" for relay in relays]
        stack.enter_context(rig.other_known_hosts(sshd.known_hosts(*names)))
        bare = read(rig.uri(SSH, port=relays[0].port))  # the key of the other sshd
        ours = read(rig.uri(SSH, port=relays[1].port, sshauth="privkey"))
        for _ in range(10):
            assert Readers({"bare": bare, "ours": ours}).tick() == set()
            time.sleep(0.3)
        assert 0 < relays[0].connections <= 3 and 0 < relays[1].connections <= 3
    (line,) = bare.finish_with_errors()
    assert "set LogLevel ERROR" in line
    (line,) = ours.finish_with_errors()
    assert "Permission denied (publickey)" in line
