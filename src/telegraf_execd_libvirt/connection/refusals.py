"""Failed connection attempts: the words of each, its consequence, and what helps.

libvirt uses one code for many problems, and returns only ssh's text for errors of ssh. So the words
of the message decide; if no case matches, the code decides.

Invariant: the first case whose pattern matches the message decides. The messages that leave this
module are one short line, without the user name and the parameters of the URI.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from ..uri import ALIAS, SSH, transport
from .advice import start_daemon
from .errors import ErrorKind, LibvirtError, discreet, one_line


class Case(NamedTuple):
    """``words`` is a regular expression for the message; ``transports`` are those of the URI for
    which the case counts, all if there are none."""

    kind: ErrorKind
    words: str
    advice: str
    transports: Collection[str] = ()


_lost = partial(Case, ErrorKind.LOST)
_denied = partial(Case, ErrorKind.DENIED)
_wrong = partial(Case, ErrorKind.WRONG_URI)
_ssh_lost = partial(_lost, transports=SSH)
_ssh_denied = partial(_denied, transports=SSH)

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
_FAR_DAEMON = "ssh works, but libvirt's daemon on that host does not run: there, {start}"
_FAR_SOCKET = (
    "ssh works, but on that host this user may not use libvirt's socket: there, add the user to "
    "the socket's group (usually libvirt), or open the read-only socket with SocketMode=0666"
)
_LIBSSH_KNOWN_HOSTS = (
    "libssh and libssh2 do not read ssh's known_hosts: name a file that has the host's key with "
    "known_hosts= in libvirt_uri, or put the key into ~/.config/libvirt/known_hosts"
)

CASES = (
    # URIs
    _wrong(
        "transport in URL not recognised",
        "the transport in libvirt_uri must be unix, ssh, libssh, libssh2, tcp, tls or ext",
    ),
    _wrong(
        "Unable to parse URI",
        "libvirt_uri must be driver[+transport]://[host]/path; write special characters as in %40",
    ),
    _wrong(
        "does not include a driver name",
        "libvirt_uri must be driver[+transport]://[host]/path, or an alias of uri_aliases in this "
        "user's ~/.config/libvirt/libvirt.conf (root: /etc/libvirt/libvirt.conf)",
    ),
    _wrong("unix socket and remote server", "take the host out of libvirt_uri, or +unix"),
    _wrong("command is required", "name the program with command= in libvirt_uri"),
    _wrong("direct socket mode", "take mode= out of libvirt_uri"),
    _wrong("Invalid authentication method", "correct sshauth= in libvirt_uri"),
    _lost("resolve (address|hostname)", "check the host name in libvirt_uri"),
    _lost(
        "cannot execute binary|exec: ssh: not found",
        "the program of command= in libvirt_uri, or ssh without it, must be installed here",
    ),
    _lost("user runtime directory", "let HOME or XDG_RUNTIME_DIR be a folder of this user"),
    # TLS
    _denied(
        "owner does not match the hostname",
        "the host in libvirt_uri must be a name in the server's certificate (subjectAltName)",
    ),
    _denied(
        "(usage does not permit|purpose does not allow)",
        "issue that certificate again: its key usage must have digital signature and key "
        "encipherment, its purpose must be TLS server or TLS client",
    ),
    _denied(
        "Our own certificate .* failed validation|hasn't got a known issuer",
        "the certificate was not issued by the CA of cacert.pem: client and server need "
        "certificates of one CA",
    ),
    _denied("client certificate .* has expired", "renew this client's certificate"),
    _denied(
        "Failed to verify peer's certificate",
        "the server's certificate has expired, is not valid yet, or was revoked: check its dates, "
        "and the clock of this host",
    ),
    _denied(
        "Unable to read TLS confirmation",
        "the server refuses this client's certificate: clientcert.pem and clientkey.pem must be "
        "there, of the server's CA, and in tls_allowed_dn_list if libvirtd.conf has one",
    ),
    _denied("(certificate|x509 key)", _CERTIFICATES, ("tls", "")),
    _lost(
        "TLS handshake failed",
        "is that port libvirt's TLS port (usually 16514), and not its TCP port?",
    ),
    # SASL
    _denied("collect auth credentials", _AUTH_CONF),
    _denied("(Username|Password) request failed", _AUTH_CONF.replace("libvirt-HOST", "esx-HOST")),
    _denied("configuration file syntax error", "correct libvirt's auth.conf"),
    _denied(
        "SASL mechanism .* not supported",
        "take another mechanism: auth=sasl.MECHANISM in libvirt_uri, mech_list on the server",
    ),
    _denied(
        "authentication failed: authentication failed",
        "check user name and password in libvirt's auth.conf, and mech_list on the server: "
        "without TLS only digest-md5 and gssapi work, not scram",
        _UNAUTHENTICATED,
    ),
    _denied(
        "the cause is unknown",
        "libvirt may be unable to read its auth.conf (or the file that LIBVIRT_AUTH_FILE names): "
        "it must exist, be readable for this user, and have sections",
        _UNAUTHENTICATED,
    ),
    _lost(
        "the cause is unknown",
        "is libvirt's daemon on that host running? The transport ssh gives a better reason",
        ("libssh", "libssh2"),
    ),
    # ssh: too many words
    _ssh_denied(
        "Value too large for defined data type",
        "ssh wrote more than libvirt reads: set LogLevel ERROR in ssh's configuration",
    ),
    # ssh: host keys
    _ssh_denied(
        "REVOKED HOST KEY",
        "that host key is marked as revoked in known_hosts: do not trust it; ask who runs the host",
    ),
    _ssh_denied(
        "unable to load knownhosts file",
        "known_hosts= must name a readable known_hosts file",
    ),
    _denied(
        "IDENTIFICATION HAS CHANGED|differs from stored identity",
        "the host key is not the known one: if the host has a new key, remove the old one with "
        "ssh-keygen -R HOST, and add the new one",
    ),
    _denied("no suitable callback for host key", _LIBSSH_KNOWN_HOSTS),
    _ssh_denied(
        "Host key verification failed",
        "the host's key is not known: add it to the file of known_hosts= in libvirt_uri, or to "
        "~/.ssh/known_hosts of this user, such as with ssh-keyscan",
    ),
    # ssh: keys and passwords
    _ssh_denied("bad permissions|UNPROTECTED", "chmod 600 the key file"),
    _ssh_denied(
        "Identity file|Load key|(reading|opening) private key|private key passphrase"
        "|[Kk]ey file path must",
        "keyfile= in libvirt_uri must name a private key without a passphrase that this user, and "
        "nobody else, can read",
    ),
    _ssh_denied("connect to ssh agent", "start ssh's agent, or take sshauth=privkey"),
    _ssh_denied(
        r"Permission denied \(|Too many authentication|Access denied for|were rejected by"
        "|authentication with private key",
        "the host refuses this key: check the user name and keyfile= in libvirt_uri; the public "
        "key must be in that user's authorized_keys, and the key must have no passphrase",
    ),
    # ssh: the far side
    # Without text before it, it is the reply of a daemon, or of an alias without ssh.
    _ssh_denied(". *Failed to connect socket .*: Permission denied|nc: .*denied", _FAR_SOCKET),
    _ssh_lost(". *Failed to connect socket|unix connect failed", _FAR_DAEMON),
    _ssh_lost(
        ": not found|command not found",
        "that host lacks a program that libvirt needs there: virt-ssh-helper, which comes with "
        "libvirt's daemon, or nc",
    ),
    _ssh_lost("nc: ", _FAR_DAEMON),
    _ssh_lost(
        "bytes received from server too large",
        "the far user's shell prints text at login, and libvirt takes it for an answer: the shell "
        "must print nothing if it is not interactive, and the account must not be locked",
    ),
    _ssh_lost(
        "Remote command terminated",
        "ssh works, but the connection to libvirt's daemon on that host does not: does the daemon "
        "run, and may this user use its socket? The transport ssh gives a better reason",
    ),
    _ssh_lost(
        "connect to host .*refused|connect to server .*refused",
        "is sshd of that host listening on that port?",
    ),
    _ssh_lost(
        "kex_exchange|handshake failed|banner",
        "is that port sshd's, and does sshd of that host accept connections from this one?",
    ),
    # polkit
    _denied(
        "Failed to find user record",
        "libvirt's daemon looks this user up: the user must exist where the daemon runs",
    ),
    _denied(
        r"PolicyKit1 was not provided|Spawn\.",
        'start polkit, or set auth_unix_ro = "none" in libvirtd.conf',
    ),
    _denied("Action .* is not registered", _POLKIT_ACTIONS),
    _denied(
        "GDBus",
        "polkit cannot check this user, for example from inside a container: see polkit's log, or "
        'set auth_unix_ro = "none" in libvirtd.conf',
    ),
    # no authentication at all: libvirt has many words for a peer that hangs up
    _lost(
        "received from server too large|Cannot (recv|write) data|End of file|error event on socket"
        "|client socket is closed|get remote socket name",
        "is that port libvirt's TCP port (usually 16509), and not its TLS port?",
        ("tcp",),
    ),
)


def refused(error: LibvirtError, uri: str, reasons: Iterable[str] = ()) -> LibvirtError:
    """The error of a connection attempt, with its kind, its advice, and a short message.

    ``reasons`` are libvirt's lines about it on stderr.
    """
    message = one_line(error.message, reasons)
    way = transport(uri)
    fitting = (case for case in CASES if not case.transports or way in {*case.transports, ALIAS})
    found = next((case for case in fitting if re.search(case.words, message)), None)
    if found is None:
        return replace(error, message=discreet(message, uri))
    help = found.advice.replace("{start}", start_daemon(message, uri))
    return replace(error, message=discreet(message, uri), known=found.kind, help=help)
