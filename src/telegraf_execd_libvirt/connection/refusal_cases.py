"""The table of failed connection attempts: the words of each, its consequence, and what helps.

Invariant: the first case whose pattern matches the message decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .errors import ErrorKind

_SSH = frozenset(("ssh", "libssh", "libssh2"))
_UNAUTHENTICATED = frozenset(("tcp", "tls", "unix", ""))


@dataclass(frozen=True)
class Case:
    """``words`` is a regular expression for the message; ``transports`` are those of the URI for
    which the case counts, all if there are none."""

    words: str
    kind: ErrorKind
    advice: str
    transports: frozenset[str] = frozenset()


def _case(words: str, kind: ErrorKind, advice: str, transports: Iterable[str] = ()) -> Case:
    return Case(words, kind, advice, frozenset(transports))


_LOST, _DENIED, _WRONG = ErrorKind.LOST, ErrorKind.DENIED, ErrorKind.WRONG_URI

_FAR_DAEMON = (
    "ssh works, but libvirt's daemon on that host does not run: there, "
    "systemctl start libvirtd.socket, or virtqemud.socket where each driver has its own"
)
_FAR_SOCKET = (
    "ssh works, but on that host this user may not use libvirt's socket: there, add the user to "
    "the socket's group (usually libvirt), or open the read-only socket with SocketMode=0666"
)
_CERTIFICATES = (
    "TLS needs cacert.pem in /etc/pki/CA, and clientcert.pem and clientkey.pem in /etc/pki/libvirt "
    "with the key in private, or all in the folder of pkipath=, readable for this user; see "
    "libvirt.org/kbase/tlscerts.html"
)
_AUTH_CONF = (
    "put the credentials into libvirt's auth.conf, readable for this user, in a section for the "
    "host exactly as in libvirt_uri: [auth-libvirt-HOST]"
)
_LIBSSH_KNOWN_HOSTS = (
    "libssh and libssh2 do not read ssh's known_hosts: name a file that has the host's key with "
    "known_hosts= in libvirt_uri, or put the key into ~/.config/libvirt/known_hosts"
)
_KEY_REFUSED = (
    "the host refuses this key: check the user name and keyfile= in libvirt_uri; the public key "
    "must be in that user's authorized_keys, and the key must have no passphrase"
)
_POLKIT_ACTIONS = (
    "polkit does not know libvirt's actions: install them (on Debian libvirt-daemon-system) and "
    'restart polkit, or set auth_unix_ro = "none" in libvirtd.conf'
)

CASES = (
    # URIs
    _case(
        "transport in URL not recognised",
        _WRONG,
        "the transport in libvirt_uri must be unix, ssh, libssh, libssh2, tcp, tls or ext",
    ),
    _case("Unable to parse URI", _WRONG, "libvirt_uri must be driver[+transport]://[host]/path"),
    _case("command is required", _WRONG, "name the program with command= in libvirt_uri"),
    _case("Invalid authentication method", _WRONG, "correct sshauth= in libvirt_uri"),
    _case("resolve (address|hostname)", _LOST, "check the host name in libvirt_uri"),
    _case(
        "cannot execute binary|exec: ssh: not found",
        _LOST,
        "the program of command= in libvirt_uri, or ssh without it, must be installed here",
    ),
    # TLS
    _case(
        "owner does not match the hostname",
        _DENIED,
        "the host in libvirt_uri must be a name in the server's certificate (subjectAltName)",
    ),
    _case(
        "(usage does not permit|purpose does not allow)",
        _DENIED,
        "issue that certificate again: its key usage must have digital signature and key "
        "encipherment, its purpose must be TLS server or TLS client",
    ),
    _case(
        "Our own certificate .* failed validation|hasn't got a known issuer",
        _DENIED,
        "the certificate was not issued by the CA of cacert.pem: client and server need "
        "certificates of one CA",
    ),
    _case("client certificate .* has expired", _DENIED, "renew this client's certificate"),
    _case(
        "Failed to verify peer's certificate",
        _DENIED,
        "the server's certificate has expired, is not valid yet, or was revoked: check its dates, "
        "and the clock of this host",
    ),
    _case(
        "Unable to read TLS confirmation",
        _DENIED,
        "the server refuses this client's certificate: clientcert.pem and clientkey.pem must be "
        "there, of the server's CA, and in tls_allowed_dn_list if libvirtd.conf has one",
    ),
    _case("(certificate|x509 key)", _DENIED, _CERTIFICATES, ("tls", "")),
    _case(
        "TLS handshake failed",
        _LOST,
        "is that port libvirt's TLS port (usually 16514), and not its TCP port?",
    ),
    # SASL
    _case("collect auth credentials", _DENIED, _AUTH_CONF),
    _case(
        "(Username|Password) request failed",
        _DENIED,
        _AUTH_CONF.replace("libvirt-HOST", "esx-HOST"),
    ),
    _case("configuration file syntax error", _DENIED, "correct libvirt's auth.conf"),
    _case(
        "SASL mechanism .* not supported",
        _DENIED,
        "take another mechanism: auth=sasl.MECHANISM in libvirt_uri, mech_list on the server",
    ),
    _case(
        "authentication failed: authentication failed",
        _DENIED,
        "check user name and password in libvirt's auth.conf, and mech_list on the server: "
        "without TLS only digest-md5 and gssapi work, not scram",
        _UNAUTHENTICATED,
    ),
    _case(
        "the cause is unknown",
        _DENIED,
        "libvirt may be unable to read its auth.conf (or the file that LIBVIRT_AUTH_FILE names): "
        "it must exist, be readable for this user, and have sections",
        _UNAUTHENTICATED,
    ),
    _case(
        "the cause is unknown",
        _LOST,
        "is libvirt's daemon on that host running? The transport ssh gives a better reason",
        ("libssh", "libssh2"),
    ),
    # ssh: host keys
    _case(
        "IDENTIFICATION HAS CHANGED|differs from stored identity",
        _DENIED,
        "the host key is not the known one: if the host has a new key, remove the old one with "
        "ssh-keygen -R HOST, and add the new one",
    ),
    _case("no suitable callback for host key", _DENIED, _LIBSSH_KNOWN_HOSTS),
    _case(
        "Host key verification failed",
        _DENIED,
        "the host's key is not known: add it to the file of known_hosts= in libvirt_uri, or to "
        "~/.ssh/known_hosts of this user, such as with ssh-keyscan",
        _SSH,
    ),
    # ssh: keys and passwords
    _case("bad permissions|UNPROTECTED", _DENIED, "chmod 600 the key file", _SSH),
    _case(
        "Identity file|Load key|reading private key|private key passphrase|[Kk]ey file path must",
        _DENIED,
        "keyfile= in libvirt_uri must name a private key without a passphrase that this user, and "
        "nobody else, can read",
        _SSH,
    ),
    _case("connect to ssh agent", _DENIED, "start ssh's agent, or take sshauth=privkey", _SSH),
    _case(
        r"Permission denied \(|Too many authentication|Access denied for|were rejected by"
        "|authentication with private key",
        _DENIED,
        _KEY_REFUSED,
        _SSH,
    ),
    # ssh: the far side
    _case(
        "Failed to connect socket .*: Permission denied|nc: .*denied", _DENIED, _FAR_SOCKET, _SSH
    ),
    _case("Failed to connect socket|unix connect failed", _LOST, _FAR_DAEMON, _SSH),
    _case(
        ": not found|command not found",
        _LOST,
        "that host lacks a program that libvirt needs there: virt-ssh-helper, which comes with "
        "libvirt's daemon, or nc",
        _SSH,
    ),
    _case("nc: ", _LOST, _FAR_DAEMON, _SSH),
    _case(
        "bytes received from server too large",
        _LOST,
        "the far user's shell prints text at login, and libvirt takes it for an answer: the shell "
        "must print nothing if it is not interactive, and the account must not be locked",
        _SSH,
    ),
    _case(
        "Remote command terminated",
        _LOST,
        "ssh works, but the connection to libvirt's daemon on that host does not: does the daemon "
        "run, and may this user use its socket? The transport ssh gives a better reason",
        _SSH,
    ),
    _case(
        "connect to host .*refused|connect to server .*refused",
        _LOST,
        "is sshd of that host listening on that port?",
        _SSH,
    ),
    _case(
        "kex_exchange|handshake failed|banner",
        _LOST,
        "is that port sshd's, and does sshd of that host accept connections from this one?",
        _SSH,
    ),
    # polkit
    _case(
        "Failed to find user record",
        _DENIED,
        "libvirt's daemon looks this user up: the user must exist where the daemon runs",
    ),
    _case(
        r"PolicyKit1 was not provided|Spawn\.",
        _DENIED,
        'start polkit, or set auth_unix_ro = "none" in libvirtd.conf',
    ),
    _case("Action .* is not registered", _DENIED, _POLKIT_ACTIONS),
    _case(
        "GDBus",
        _DENIED,
        "polkit cannot check this user, for example from inside a container: see polkit's log, or "
        'set auth_unix_ro = "none" in libvirtd.conf',
    ),
    # no authentication at all
    _case(
        "received from server too large|Cannot recv data|End of file",
        _LOST,
        "is that port libvirt's TCP port (usually 16509), and not its TLS port?",
        ("tcp",),
    ),
)
