"""Failed connection attempts of the transports by ssh, a part of the table of all.

Invariant: the first case whose pattern matches the message decides.
"""

from __future__ import annotations

from ..uri import SSH
from .refusal_case import DENIED, LOST, case

_FAR_DAEMON = (
    "ssh works, but libvirt's daemon on that host does not run: there, "
    "systemctl start libvirtd.socket, or virtqemud.socket where each driver has its own"
)
_FAR_SOCKET = (
    "ssh works, but on that host this user may not use libvirt's socket: there, add the user to "
    "the socket's group (usually libvirt), or open the read-only socket with SocketMode=0666"
)
_LIBSSH_KNOWN_HOSTS = (
    "libssh and libssh2 do not read ssh's known_hosts: name a file that has the host's key with "
    "known_hosts= in libvirt_uri, or put the key into ~/.config/libvirt/known_hosts"
)
_KEY_REFUSED = (
    "the host refuses this key: check the user name and keyfile= in libvirt_uri; the public key "
    "must be in that user's authorized_keys, and the key must have no passphrase"
)

SSH_CASES = (
    # ssh: too many words
    case(
        "Value too large for defined data type",
        DENIED,
        "ssh wrote more than libvirt reads: set LogLevel ERROR in ssh's configuration",
        SSH,
    ),
    # ssh: host keys
    case(
        "REVOKED HOST KEY",
        DENIED,
        "that host key is marked as revoked in known_hosts: do not trust it; ask who runs the host",
        SSH,
    ),
    case(
        "unable to load knownhosts file",
        DENIED,
        "known_hosts= must name a readable known_hosts file",
        SSH,
    ),
    case(
        "IDENTIFICATION HAS CHANGED|differs from stored identity",
        DENIED,
        "the host key is not the known one: if the host has a new key, remove the old one with "
        "ssh-keygen -R HOST, and add the new one",
    ),
    case("no suitable callback for host key", DENIED, _LIBSSH_KNOWN_HOSTS),
    case(
        "Host key verification failed",
        DENIED,
        "the host's key is not known: add it to the file of known_hosts= in libvirt_uri, or to "
        "~/.ssh/known_hosts of this user, such as with ssh-keyscan",
        SSH,
    ),
    # ssh: keys and passwords
    case("bad permissions|UNPROTECTED", DENIED, "chmod 600 the key file", SSH),
    case(
        "Identity file|Load key|(reading|opening) private key|private key passphrase"
        "|[Kk]ey file path must",
        DENIED,
        "keyfile= in libvirt_uri must name a private key without a passphrase that this user, and "
        "nobody else, can read",
        SSH,
    ),
    case("connect to ssh agent", DENIED, "start ssh's agent, or take sshauth=privkey", SSH),
    case(
        r"Permission denied \(|Too many authentication|Access denied for|were rejected by"
        "|authentication with private key",
        DENIED,
        _KEY_REFUSED,
        SSH,
    ),
    # ssh: the far side
    case("Failed to connect socket .*: Permission denied|nc: .*denied", DENIED, _FAR_SOCKET, SSH),
    case("Failed to connect socket|unix connect failed", LOST, _FAR_DAEMON, SSH),
    case(
        ": not found|command not found",
        LOST,
        "that host lacks a program that libvirt needs there: virt-ssh-helper, which comes with "
        "libvirt's daemon, or nc",
        SSH,
    ),
    case("nc: ", LOST, _FAR_DAEMON, SSH),
    case(
        "bytes received from server too large",
        LOST,
        "the far user's shell prints text at login, and libvirt takes it for an answer: the shell "
        "must print nothing if it is not interactive, and the account must not be locked",
        SSH,
    ),
    case(
        "Remote command terminated",
        LOST,
        "ssh works, but the connection to libvirt's daemon on that host does not: does the daemon "
        "run, and may this user use its socket? The transport ssh gives a better reason",
        SSH,
    ),
    case(
        "connect to host .*refused|connect to server .*refused",
        LOST,
        "is sshd of that host listening on that port?",
        SSH,
    ),
    case(
        "kex_exchange|handshake failed|banner",
        LOST,
        "is that port sshd's, and does sshd of that host accept connections from this one?",
        SSH,
    ),
)
