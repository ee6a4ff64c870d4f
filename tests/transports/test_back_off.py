"""A far host that refuses the credentials is not asked at each tick: it might lock the host out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from support import sasl, tls
from support.near import HOST
from support.readers import Reader, Readers
from support.relay import Relay
from support.sshd import Sshd
from support.transports import DIGEST, LIBSSH, SCRAM, SSH, TLS, Rig

TICKS, MOST_CONNECTIONS = 12, 3


def test_refused_credentials(rig: Rig, read: Callable[..., Reader]) -> None:
    """Many ticks make few connections, by each transport. libvirt cannot read a long banner of ssh,
    and loses the reason; with a parameter that the plugin hands to ssh there is no banner."""
    settings = rig.authority.settings(rig.certificate)
    allowed = {**settings, "tls_allowed_dn_list": '["CN=near-user"]'}
    wrong_password = rig.near.write("wrong-auth.conf", sasl.auth_conf(HOST, password="wr0ng"))
    key = {"keyfile": rig.other_key("wrong_key")}
    pki = rig.make_pki("pki-stranger", rig.authority.issue("stranger", tls.STRANGER))
    banner = rig.far.folder / "long-banner"
    banner.write_text("* Authorized access only. Everything is logged. *\n" * 60)
    long = Sshd(rig.far, "long-banner-sshd", f"Banner {banner}")
    with ExitStack() as stack:
        picky = stack.enter_context(rig.new_host("picky", allowed))
        cases = {
            TLS: (TLS, picky.tls_port, {"pkipath": pki}),
            **{name: (name, rig.port(name), {}) for name in (DIGEST, SCRAM)},
            **{name: (name, rig.port(name), key) for name in (SSH, *LIBSSH)},
            "banner": (SSH, long.port, key),
            "no banner": (SSH, long.port, {**key, "sshauth": "privkey"}),
        }
        relays = {name: stack.enter_context(Relay(port)) for name, (_, port, _) in cases.items()}
        names = (f"[{HOST}]:{relays[name].port}" for name in ("banner", "no banner"))
        stack.enter_context(rig.other_known_hosts(rig.known_hosts() + long.known_hosts(*names)))
        readers = Readers()
        for name, (transport, _, wrong) in cases.items():
            uri = rig.uri(transport, port=relays[name].port, **wrong)
            readers[name] = read(uri, LIBVIRT_AUTH_FILE=str(wrong_password))
        for _ in range(TICKS):
            assert readers.tick() == set()
        connections = {name: relay.connections for name, relay in relays.items()}
    assert min(connections.values()) > 0, connections
    assert max(connections.values()) <= MOST_CONNECTIONS, connections
    errors = {name: reader.finish_with_errors() for name, reader in readers.items()}
    assert {name: len(lines) for name, lines in errors.items()} == dict.fromkeys(cases, 1)
    assert "set LogLevel ERROR" in errors["banner"][0]
    assert "Permission denied (publickey)" in errors["no banner"][0]
