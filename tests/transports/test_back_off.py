"""A far host that refuses the credentials is not asked at each tick: it might lock the host out."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from support import sasl, tls
from support.near import HOST
from support.readers import Reader, Readers
from support.relay import Relay
from support.sshd import make_key
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
