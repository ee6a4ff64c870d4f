"""sshd for the tests, as an unprivileged user on a far host; it lets in this user only.

The rule: host key, user key, configuration and authorized_keys are in the far host's folder.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from support.process import free_port, listens, wait_for
from support.remote import FAR, NUMBERS, FarHost, require

PACKAGES = {"sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
AllowUsers {user}
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
LogLevel VERBOSE
MaxStartups 100
{more}
"""


class Sshd:
    """The sshd of a far host: `port`, the user's `key`, and its host key in `known_hosts()`."""

    def __init__(self, host: FarHost, name: str = "sshd", more: str = "") -> None:
        require(PACKAGES)
        self.host = host
        self.name = name
        self.folder = host.folder / name
        self.port = free_port()
        self.folder.mkdir()
        self.key = make_key(self.folder / "user_key")
        self.make_host_key()
        public = self.key.with_suffix(".pub").read_text()
        (self.folder / "authorized_keys").write_text(public)
        text = CONFIG.format(port=self.port, folder=self.folder, user=FAR, more=more)
        (self.folder / "sshd_config").write_text(text)
        self.start()

    def make_host_key(self) -> None:
        """Make a host key, another one if there is one; sshd uses it when it is started."""
        path = make_key(self.folder / "host_key")
        for file in (path, path.with_suffix(".pub")):
            shutil.chown(file, NUMBERS[FAR], NUMBERS[FAR])

    def start(self) -> None:
        """Start sshd, and wait until it listens."""
        program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")
        assert program
        config = str(self.folder / "sshd_config")
        self.host.run(self.name, [program, "-D", "-e", "-f", config], FAR)
        wait_for(lambda: listens(self.port), 20.0, "sshd", self.host.log(self.name))

    def known_hosts(self, *names: str) -> str:
        """The lines of known_hosts for these names, such as [kvm1.test]:2222."""
        kind, key, *_ = self.folder.joinpath("host_key.pub").read_text().split()
        return "".join(f"{name} {kind} {key}\n" for name in names)


def make_key(path: Path) -> Path:
    """Make a key without a passphrase, and its public part in PATH.pub."""
    for file in (path, path.with_suffix(".pub")):
        file.unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path
