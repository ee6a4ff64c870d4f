"""TLS for the tests: an own authority, and certificates for right and for wrong cases.

The rule: all files are in the given folder; all certificates share one key, which takes longest to
make.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from support.remote import require

PACKAGES = {"certtool": "gnutls-bin"}

CLIENT = "cn = near-user\ntls_www_client\nencryption_key\nsigning_key\n"
STRANGER = "cn = stranger\ntls_www_client\nencryption_key\nsigning_key\n"
USAGE = "tls_www_server\nencryption_key\nsigning_key\n"


def server(*names: str, usage: str = USAGE, more: str = "") -> str:
    """The template of a server's certificate for these names."""
    return f"cn = {names[0]}\n" + "".join(f"dns_name = {name}\n" for name in names) + usage + more


class Authority:
    """A certificate authority: `certificate` is its own, `key` belongs to all certificates."""

    def __init__(self, folder: Path, name: str = "ca", key: Path | None = None) -> None:
        require(PACKAGES)
        self.folder = folder
        self.key = key or folder / "key.pem"
        if key is None:
            folder.mkdir(exist_ok=True)
            options = ("--key-type=rsa", "--bits=2048", "--no-text")
            _certtool("--generate-privkey", *options, "--outfile", self.key)
        self.certificate = folder / f"{name}.pem"
        template = self._template(name, f"cn = {name}\nca\ncert_signing_key\n")
        arguments = ("--load-privkey", self.key, "--template", template)
        _certtool("--generate-self-signed", *arguments, "--outfile", self.certificate)

    def issue(self, name: str, template: str) -> Path:
        """A certificate by a template of certtool's."""
        path = self.folder / f"{name}.pem"
        _certtool(
            "--generate-certificate",
            *("--load-privkey", self.key, "--template", self._template(name, template)),
            *("--load-ca-certificate", self.certificate, "--load-ca-privkey", self.key),
            *("--outfile", path),
        )
        return path

    def _template(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.template"
        days = "" if "expiration_date" in text else "expiration_days = 10\n"
        path.write_text(text + days)
        return path

    def settings(self, certificate: Path) -> dict[str, str]:
        """The settings of a libvirtd with this certificate."""
        return {
            "listen_tls": "1",
            "ca_file": f'"{self.certificate}"',
            "cert_file": f'"{certificate}"',
            "key_file": f'"{self.key}"',
            "tls_no_sanity_certificate": "1",
        }

    def pki(self, folder: Path, certificate: Path | None) -> Path:
        """Fill a client's folder, for `pkipath`."""
        shutil.copyfile(self.certificate, folder / "cacert.pem")
        if certificate:
            shutil.copyfile(certificate, folder / "clientcert.pem")
            shutil.copyfile(self.key, folder / "clientkey.pem")
        return folder


def _certtool(*arguments: str | Path) -> None:
    subprocess.run(["certtool", *map(str, arguments)], check=True, capture_output=True)
