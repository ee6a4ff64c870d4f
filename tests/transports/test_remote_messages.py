"""Messages about far hosts: one short line with the reason, without secrets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support import sasl, tls
from support.near import HOST, OTHER_HOST
from support.plugin import eventually
from support.readers import Reader
from support.relay import Relay
from support.remote import free_port
from support.sshd import Sshd, make_key
from support.transports import DIGEST, LIBSSH, SSH, TCP, TLS, Rig

MOST_CHARACTERS = 400


def message(reader: Reader, ticks: int = 3) -> str:
    """The one message of a hypervisor that cannot be read, without its first part."""
    assert reader.ticks(ticks) == [False] * ticks
    lines = reader.finish()
    assert len(lines) == 1 and lines[0].startswith("E!"), lines
    assert len(lines[0]) <= MOST_CHARACTERS, lines[0]
    return lines[0].partition("): ")[2]


@pytest.mark.parametrize("host", [OTHER_HOST, "127.0.0.1"])
def test_a_name_that_is_not_in_the_certificate(
    rig: Rig, read: Callable[..., Reader], host: str
) -> None:
    """libvirt gives the reason only in its own log; it is a part of the message."""
    text = message(read(rig.uri(TLS, host=host)))
    assert "certificate" in text.lower() and f"does not match the hostname {host}" in text


EXPIRED = 'activation_date = "2020-01-01 00:00:00"\nexpiration_date = "2021-01-01 00:00:00"\n'
NO_ENCIPHERMENT = tls.USAGE.replace("encryption_key\n", "")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (tls.server(HOST, more=EXPIRED), "not trusted"),
        (tls.server(HOST, usage=NO_ENCIPHERMENT), "key encipherment"),
    ],
    ids=["expired", "usage"],
)
def test_a_certificate_that_is_not_valid(
    rig: Rig, read: Callable[..., Reader], template: str, reason: str
) -> None:
    """The same for other reasons."""
    settings = rig.authority.settings(rig.authority.issue("wrong-server", template))
    with rig.new_host(f"wrong-{len(template)}", settings) as far:
        assert reason in message(read(rig.uri(TLS, port=far.tls_port)))


def test_a_reason_is_not_kept(rig: Rig, read: Callable[..., Reader]) -> None:
    """The log of one connection attempt explains this attempt only."""
    reader = read(rig.uri(TLS, host=OTHER_HOST))
    assert not reader.tick()
    other = read(rig.uri(TLS, port=free_port()))
    assert "hostname" not in message(other)


def test_no_lines_of_libvirts_log(rig: Rig, read: Callable[..., Reader]) -> None:
    """A certificate for another purpose works; libvirt's own warning does not come through."""
    usage = "tls_www_client\nencryption_key\nsigning_key\n"
    certificate = rig.authority.issue("client-only", tls.server(HOST, usage=usage))
    with rig.new_host("client-only", rig.authority.settings(certificate)) as far:
        reader = read(rig.uri(TLS, port=far.tls_port))
        assert reader.tick()
        assert "virNet" not in reader.plugin.log.text and "warning :" not in reader.plugin.log.text


def banners(rig: Rig) -> dict[str, tuple[dict[str, str | Path], str, str]]:
    """Parameters of URIs, ssh's known_hosts, and the text in the message."""
    changed = make_key(rig.folder / "a_key").with_suffix(".pub").read_text().split()
    line = f"[{HOST}]:{rig.sshd.port} {changed[0]} {changed[1]}\n"
    public = rig.near.write("key-open", rig.key.read_text(), 0o644)
    return {
        "changed host key": ({}, line, "host key"),
        "revoked host key": ({}, f"@revoked {rig.known_hosts()}", "do not trust it"),
        "open key": ({"keyfile": public}, rig.known_hosts(), "permissions"),
    }


@pytest.mark.parametrize("case", ["changed host key", "revoked host key", "open key"])
def test_a_warning_of_ssh_is_one_short_line(
    rig: Rig, read: Callable[..., Reader], case: str
) -> None:
    """ssh frames its warnings with many @; its reason is the message."""
    parameters, known_hosts, reason = banners(rig)[case]
    with rig.other_known_hosts(known_hosts):
        text = message(read(rig.uri(SSH, **parameters)))  # type: ignore[arg-type]
    assert reason in text.lower() and "@@" not in text and "NASTY" not in text


def test_a_banner_of_sshd_is_not_the_reason(rig: Rig, read: Callable[..., Reader]) -> None:
    """The far host's notice to all who connect is left out."""
    banner = rig.far.folder / "banner"
    banner.write_text("*" * 70 + "\n* Authorized access only. Everything is logged.\n" + "*" * 70)
    sshd = Sshd(rig.far, "banner-sshd", f"Banner {banner}")
    with rig.other_known_hosts(sshd.known_hosts(f"[{HOST}]:{sshd.port}")):
        text = message(read(rig.uri(SSH, port=sshd.port)))  # the key of the other sshd
    assert "Permission denied" in text and "Authorized access" not in text and "**" not in text


def test_a_message_that_alternates(rig: Rig, read: Callable[..., Reader]) -> None:
    """Two reasons that take turns are reported once each."""
    with Relay(rig.port(TCP)) as relay:
        reader = read(rig.uri(TCP, port=relay.port, path="/no/such/file.xml"))
        for _ in range(8):
            relay.hanging_up = not relay.hanging_up
            assert not reader.tick()
        assert relay.connections == 8
        errors = reader.finish_with_errors()
    assert len(errors) == 2, errors


def test_the_next_reason(rig: Rig, read: Callable[..., Reader]) -> None:
    """Once the host key is known, the message is about the key that the host refuses."""
    wrong = rig.near.own(make_key(rig.near.home / "wrong_key"), 0o600)
    with rig.other_known_hosts(""):
        reader = read(rig.uri(SSH, keyfile=wrong))
        assert not reader.tick()
    assert eventually(lambda: not reader.tick() and "Permission denied" in reader.plugin.log.text)
    assert not reader.tick()
    first, second = reader.finish_with_errors()
    assert "Host key verification failed" in first and "authorized_keys" in second


@pytest.mark.parametrize("transport", [SSH, *LIBSSH])
def test_reasons_of_a_far_host_without_libvirtd(
    rig: Rig, read: Callable[..., Reader], transport: str
) -> None:
    """libssh2 has two messages for this, at random."""
    rig.far.kill()
    rig.far.read_only.unlink()
    reader = read(rig.uri(transport))
    assert reader.ticks(8) == [False] * 8
    errors = reader.finish_with_errors()
    assert 1 <= len(errors) == len({*errors}) <= 2, errors


USER = "some-secret-user"


@pytest.mark.parametrize("transport", [SSH, *LIBSSH])
def test_no_user_and_no_paths(rig: Rig, read: Callable[..., Reader], transport: str) -> None:
    """Neither the user of the URI nor the paths in it are in a message, also not in ssh's words."""
    key = rig.near.own(make_key(rig.near.home / "some_secret_key"), 0o600)
    reader = read(rig.uri(transport, user=USER, keyfile=key))
    message(reader)
    assert "secret" not in reader.plugin.log.text, reader.plugin.log.text


def test_no_path_of_certificates(rig: Rig, read: Callable[..., Reader]) -> None:
    """libvirt names the file of a certificate that it does not take."""
    template = tls.CLIENT.replace("encryption_key\n", "")
    pki = rig.make_pki("pki-secret", rig.authority.issue("some-client", template))
    reader = read(rig.uri(TLS, pkipath=pki))
    assert "key encipherment" in message(reader)
    assert "secret" not in reader.plugin.log.text, reader.plugin.log.text


def test_no_password(rig: Rig, read: Callable[..., Reader]) -> None:
    """A password is in no message, and neither is the user that it belongs to."""
    password = "secret-pa55"
    path = rig.near.write("secret.conf", sasl.auth_conf(HOST, password=password, user=USER))
    reader = read(rig.uri(DIGEST), LIBVIRT_AUTH_FILE=str(path))
    message(reader)
    assert "secret" not in reader.plugin.log.text, reader.plugin.log.text
