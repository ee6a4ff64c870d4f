"""The table of failed connection attempts: the words of each, its consequence, and what helps.

Invariant: the first case whose pattern matches the message decides.
"""

from __future__ import annotations

from .refusal_case import DENIED, LOST, WRONG, case
from .ssh_refusals import SSH_CASES

_UNAUTHENTICATED = frozenset(("tcp", "tls", "unix", ""))

_CERTIFICATES = (
    "TLS needs cacert.pem in /etc/pki/CA, and clientcert.pem and clientkey.pem in /etc/pki/libvirt "
    "with the key in private, or all in the folder of pkipath=, readable for this user; see "
    "libvirt.org/kbase/tlscerts.html"
)
_AUTH_CONF = (
    "put the credentials into libvirt's auth.conf, readable for this user, in a section for the "
    "host exactly as in libvirt_uri: [auth-libvirt-HOST]"
)
_POLKIT_ACTIONS = (
    "polkit does not know libvirt's actions: install them (on Debian libvirt-daemon-system) and "
    'restart polkit, or set auth_unix_ro = "none" in libvirtd.conf'
)

CASES = (
    # URIs
    case(
        "transport in URL not recognised",
        WRONG,
        "the transport in libvirt_uri must be unix, ssh, libssh, libssh2, tcp, tls or ext",
    ),
    case("Unable to parse URI", WRONG, "libvirt_uri must be driver[+transport]://[host]/path"),
    case("command is required", WRONG, "name the program with command= in libvirt_uri"),
    case("direct socket mode", WRONG, "take mode= out of libvirt_uri"),
    case("Invalid authentication method", WRONG, "correct sshauth= in libvirt_uri"),
    case("resolve (address|hostname)", LOST, "check the host name in libvirt_uri"),
    case(
        "cannot execute binary|exec: ssh: not found",
        LOST,
        "the program of command= in libvirt_uri, or ssh without it, must be installed here",
    ),
    # TLS
    case(
        "owner does not match the hostname",
        DENIED,
        "the host in libvirt_uri must be a name in the server's certificate (subjectAltName)",
    ),
    case(
        "(usage does not permit|purpose does not allow)",
        DENIED,
        "issue that certificate again: its key usage must have digital signature and key "
        "encipherment, its purpose must be TLS server or TLS client",
    ),
    case(
        "Our own certificate .* failed validation|hasn't got a known issuer",
        DENIED,
        "the certificate was not issued by the CA of cacert.pem: client and server need "
        "certificates of one CA",
    ),
    case("client certificate .* has expired", DENIED, "renew this client's certificate"),
    case(
        "Failed to verify peer's certificate",
        DENIED,
        "the server's certificate has expired, is not valid yet, or was revoked: check its dates, "
        "and the clock of this host",
    ),
    case(
        "Unable to read TLS confirmation",
        DENIED,
        "the server refuses this client's certificate: clientcert.pem and clientkey.pem must be "
        "there, of the server's CA, and in tls_allowed_dn_list if libvirtd.conf has one",
    ),
    case("(certificate|x509 key)", DENIED, _CERTIFICATES, ("tls", "")),
    case(
        "TLS handshake failed",
        LOST,
        "is that port libvirt's TLS port (usually 16514), and not its TCP port?",
    ),
    # SASL
    case("collect auth credentials", DENIED, _AUTH_CONF),
    case(
        "(Username|Password) request failed",
        DENIED,
        _AUTH_CONF.replace("libvirt-HOST", "esx-HOST"),
    ),
    case("configuration file syntax error", DENIED, "correct libvirt's auth.conf"),
    case(
        "SASL mechanism .* not supported",
        DENIED,
        "take another mechanism: auth=sasl.MECHANISM in libvirt_uri, mech_list on the server",
    ),
    case(
        "authentication failed: authentication failed",
        DENIED,
        "check user name and password in libvirt's auth.conf, and mech_list on the server: "
        "without TLS only digest-md5 and gssapi work, not scram",
        _UNAUTHENTICATED,
    ),
    case(
        "the cause is unknown",
        DENIED,
        "libvirt may be unable to read its auth.conf (or the file that LIBVIRT_AUTH_FILE names): "
        "it must exist, be readable for this user, and have sections",
        _UNAUTHENTICATED,
    ),
    case(
        "the cause is unknown",
        LOST,
        "is libvirt's daemon on that host running? The transport ssh gives a better reason",
        ("libssh", "libssh2"),
    ),
    *SSH_CASES,
    # polkit
    case(
        "Failed to find user record",
        DENIED,
        "libvirt's daemon looks this user up: the user must exist where the daemon runs",
    ),
    case(
        r"PolicyKit1 was not provided|Spawn\.",
        DENIED,
        'start polkit, or set auth_unix_ro = "none" in libvirtd.conf',
    ),
    case("Action .* is not registered", DENIED, _POLKIT_ACTIONS),
    case(
        "GDBus",
        DENIED,
        "polkit cannot check this user, for example from inside a container: see polkit's log, or "
        'set auth_unix_ro = "none" in libvirtd.conf',
    ),
    # no authentication at all: libvirt has many words for a peer that hangs up
    case(
        "received from server too large|Cannot (recv|write) data|End of file|error event on socket"
        "|client socket is closed|get remote socket name",
        LOST,
        "is that port libvirt's TCP port (usually 16509), and not its TLS port?",
        ("tcp",),
    ),
)
