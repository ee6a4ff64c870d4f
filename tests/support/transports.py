"""One far host that is reached by every transport of libvirt, and the near user who may.

The rule: the right credentials for everything are in the near user's home. A test that needs wrong
ones writes other files.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

from support import sasl
from support.near import HOST, NearUser
from support.plugin import eventually
from support.process import Closing, ProcessError, Workspace, send
from support.remote import FAR, FarHost
from support.sshd import Sshd, make_key
from support.tls import CLIENT, Authority, server

SSH, LIBSSH = "ssh", ("libssh", "libssh2")
TCP, TLS, DIGEST, SCRAM, UNIX = (
    "tcp",
    "tls",
    "tcp with digest-md5",
    "tls with scram-sha-256",
    "unix",
)
ALL = (UNIX, TCP, DIGEST, TLS, SCRAM, SSH, *LIBSSH)


class Rig(Closing):
    """The far host `far` with an `sshd`, others with SASL, and the user `near`."""

    def __init__(self) -> None:
        self._workspace = Workspace("far")
        self._stack = ExitStack()
        self.folder = self._workspace.folder
        self._hosts: dict[str, FarHost] = {}

    def start(self) -> None:
        """Start the daemons, and give the near user what it needs for them."""
        self.near = NearUser(self.folder)
        self.authority = Authority(self.folder / "pki")
        self.certificate = self.authority.issue("server", server(HOST))
        tls = self.authority.settings(self.certificate)
        self.far = self.host("plain", {"listen_tcp": "1", **tls})
        self.sshd = Sshd(self.far)
        both = {"listen_tcp": "1", "auth_tcp": '"sasl"', "auth_tls": '"sasl"', **tls}
        for name, mechanism in (("digest", "digest-md5"), ("scram", "scram-sha-256")):
            self.host(name, both, sasl.variables(self.folder / f"sasl-{name}", mechanism))

        self.pki = self.make_pki(".pki/libvirt", self.authority.issue("client", CLIENT))
        self.near.write(".config/libvirt/auth.conf", sasl.auth_conf(HOST))
        self.key = self.near.own(shutil.copyfile(self.sshd.key, self.near.home / "key"), 0o600)
        self.near.write(".ssh/known_hosts", self.known_hosts())

    def close(self) -> None:
        """Take everything away, in any state; may be called again."""
        self._stack.close()
        self._workspace.close()

    @property
    def hosts(self) -> list[FarHost]:
        """The far hosts of all transports."""
        return [*self._hosts.values()]

    def known_hosts(self) -> str:
        """The right known_hosts for ssh."""
        return self.sshd.known_hosts(f"[{HOST}]:*")

    @contextmanager
    def other_known_hosts(self, text: str | None) -> Iterator[None]:
        """Give the near user another ~/.ssh/known_hosts, with None no ~/.ssh at all."""
        if text is None:
            shutil.rmtree(self.near.home / ".ssh")
        else:
            self.near.write(".ssh/known_hosts", text)
        try:
            yield
        finally:
            self.near.write(".ssh/known_hosts", self.known_hosts())

    def other_key(self, name: str) -> Path:
        """A key of the near user that no far host knows."""
        return self.near.own(make_key(self.near.home / name), 0o600)

    def other_public_key(self) -> str:
        """A public key that is not that of a host."""
        return " ".join(self.other_key("a_key").with_suffix(".pub").read_text().split()[:2])

    def new_host(self, name: str, settings: Mapping[str, str]) -> FarHost:
        """One more far host, which the test starts and closes."""
        return FarHost(self._workspace, name, settings)

    def host(
        self, name: str, settings: Mapping[str, str], variables: Mapping[str, str] | None = None
    ) -> FarHost:
        """Start one more far host, until the end."""
        host = self._stack.enter_context(FarHost(self._workspace, name, settings, variables))
        self._hosts[name] = host
        return host

    def make_pki(
        self, name: str, certificate: Path | None, authority: Authority | None = None
    ) -> Path:
        """A folder for `pkipath` in the near user's home."""
        folder = self.near.write(f"{name}/made", "").parent
        (authority or self.authority).pki(folder, certificate)
        for path in folder.iterdir():
            self.near.own(path)
        return folder

    def host_of(self, transport: str) -> FarHost:
        """The far host that a transport reaches."""
        return self._hosts[{DIGEST: "digest", SCRAM: "scram"}.get(transport, "plain")]

    def port(self, transport: str) -> int:
        """The port that a transport reaches."""
        if transport in (SSH, *LIBSSH):
            return self.sshd.port
        host = self.host_of(transport)
        return host.tls_port if transport in (TLS, SCRAM) else host.tcp_port

    def uri(
        self,
        transport: str,
        port: int | None = None,
        host: str = HOST,
        user: str = FAR,
        path: str = "/default",
        **parameters: str | Path,
    ) -> str:
        """The URI for a transport, right unless its parts are other ones."""
        if transport == UNIX:
            return f"test+unix://{path}?socket={self.far.read_only}"
        port = port or self.port(transport)
        scheme, query = transport.partition(" ")[0], dict(parameters)
        name = f"{host}:{port}"
        if transport in (SSH, *LIBSSH):
            name = f"{user}@{name}"
            query = {"keyfile": self.key, "no_tty": "1", **query}
        if transport in LIBSSH:
            known = self.near.write(
                f"known_hosts-{port}", self.sshd.known_hosts(f"[{HOST}]:{port}")
            )
            query = {"known_hosts": known, "sshauth": "privkey", **query}
        text = "&".join(f"{key}={quote(str(value))}" for key, value in query.items())
        return f"test+{scheme}://{name}{path}" + (f"?{text}" if text else "")

    def heal(self) -> None:
        """Restore all daemons to their state after start(), whatever a test did."""
        for host in self._hosts.values():
            host.heal()
        self.far.read_only.chmod(0o777)

    def check_nothing_left(self) -> None:
        """Raise ProcessError if processes of the near user are left; kill them."""
        if not eventually(lambda: not self.near.processes(), 3.0):
            left = self.near.processes()
            send(signal.SIGKILL, {*left})
            raise ProcessError(f"left behind: {list(left.values())}")
