"""SASL for the tests: a database of users for a libvirtd, and a client's auth.conf.

The rule: no file of the machine is read; a variable tells libsasl where its configuration is.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.missing import Missing
from support.remote import require

PACKAGES = {"saslpasswd2": "sasl2-bin"}
USER, PASSWORD = "monitor", "right-pa55"


def variables(folder: Path, mechanism: str) -> dict[str, str]:
    """Make a database with the user; the variables of a libvirtd that offers this mechanism."""
    require(PACKAGES)
    if not [
        *Path("/usr").glob("lib*/sasl2/libscram.so*"),
        *Path("/usr").glob("lib/*/sasl2/libscram.so*"),
    ]:
        raise Missing("SASL's mechanisms (Debian package libsasl2-modules)")
    folder.mkdir()
    database = folder / "passwd.db"
    text = f"mech_list: {mechanism}\npwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
    (folder / "libvirt.conf").write_text(f"{text}sasldb_path: {database}\n")
    # The realm is libvirt's: the host's name, which the server sends to the client.
    subprocess.run(
        ["saslpasswd2", "-p", "-c", "-a", "libvirt", "-f", str(database), USER],
        input=PASSWORD,
        encoding="utf-8",
        check=True,
        capture_output=True,
    )
    return {"SASL_CONF_PATH": str(folder)}


def auth_conf(host: str, password: str = PASSWORD, user: str = USER) -> str:
    """A client's auth.conf with the credentials for this host."""
    return (
        f"[credentials-a]\nauthname={user}\npassword={password}\n\n"
        f"[auth-libvirt-{host}]\ncredentials=a\n"
    )
