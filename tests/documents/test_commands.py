"""The commands of the documents run as they are printed.

The rule: nothing outside the test's folder changes. What a block needs of a host has a stand-in
here, each with its reason; what replaces or builds software runs elsewhere, and `ELSEWHERE` says
where. A new block needs no entry unless it needs a new stand-in.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.documents import ROOT, Block, blocks, manual_blocks
from support.missing import needed
from support.process import finish, kill

BLOCKS = [
    *blocks("sh"),
    *(block for block in manual_blocks() if not block.text.startswith("[")),
]

#: Commands that install software, and what runs the blocks that have them.
ELSEWHERE = {
    "apt-get": "tests/packaging/test_dist.py, in a bare Debian",
    "pip": "tests/packaging/test_dist.py, without the network",
    "pipx": "nothing: what it does beside pip, it downloads",
    "podman": "tests/platforms/test_container.py, with a base that is not Telegraf's",
    "dnf": "nothing: it needs Fedora or RHEL",
}
HERE = [block for block in BLOCKS if not re.search(rf"\b({'|'.join(ELSEWHERE)})\b", block.text)]

#: The stand-ins of a host, as scripts.
STAND_INS = {
    # The hypervisor is libvirt's test driver. At the first tick instead of Ctrl-C the reader ends.
    "telegraf-execd-libvirt": f"""
        run() {{ {sys.executable} -m telegraf_execd_libvirt "$@"; }}
        case "$*" in
        *--poll-interval*) run "$@" --uri test:///default --poll-interval 1s | head -n 1 ;;
        *) run "$@" --uri test:///default ;;
        esac
    """,
    # There is no user telegraf.
    "sudo": '[ "$1 $2" = "-u telegraf" ] && shift 2 && exec "$@"',
    # There is no systemd: of each command that the documents have, only its words are checked.
    "systemctl": """
        case "$*" in
        "restart telegraf") ;;
        "show telegraf --property CPUUsageNSec") echo CPUUsageNSec=1 ;;
        *) exit 1 ;;
        esac
    """,
    # The host of the example does not exist. It ends while most of libvirt's request is unread.
    "ssh": """
        head -c 1 >/dev/null
        echo "ssh: connect to host 10.9.9.9 port 22: No route to host" >&2
        exit 255
    """,
    # CI runs `make run` and `make test`, tests/packaging what `make dist` runs.
    "make": 'exec {make} --dry-run "$@"',
    "sleep": "",
}


@pytest.fixture
def run(tmp_path: Path):
    """Run a block in a checkout, on a host of stand-ins."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for path in ROOT.iterdir():
        (checkout / path.name).symlink_to(path)
    if not (checkout / ".venv").exists():
        (checkout / ".venv").symlink_to(sys.prefix)
    programs = tmp_path / "programs"
    programs.mkdir()
    make = shutil.which("make")
    for name, script in STAND_INS.items():
        (programs / name).write_text(f"#!/bin/sh\n{script.replace('{make}', str(make))}\n")
        (programs / name).chmod(0o755)
    for name in ("var/lib/grafana", "etc/grafana/provisioning/dashboards", "run/libvirt/qemu"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "plugin.conf", tmp_path / "etc" / "telegraf-execd-libvirt.conf")
    env = {
        "HOME": str(tmp_path),
        "LIBVIRT_DEFAULT_URI": "test:///default",
        "PATH": f"{programs}:{os.environ['PATH']}",
        "TMPDIR": str(tmp_path),
    }
    guest = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (tmp_path / "run/libvirt/qemu/GUEST.pid").write_text(str(guest.pid))

    def run(block: Block) -> str:
        for program, package in {"make": "make", "virsh": "libvirt-clients"}.items():
            if re.search(rf"^{program}\b", block.text, re.MULTILINE):
                needed(program, package)
        return finish("sh", "-eu", "-c", block.moved(tmp_path), cwd=checkout, env=env)

    yield run
    kill(guest)
    guest.stdin.close()


@pytest.mark.parametrize("block", HERE, ids=str)
def test_block_runs(block: Block, run) -> None:
    """Each command of the block succeeds."""
    run(block)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_is_shell(block: Block) -> None:
    """A block that runs elsewhere, or nowhere, is at least in the language of the shell."""
    finish("sh", "-n", "-c", block.text)


def test_the_example_of_an_error_is_what_libvirt_says(run) -> None:
    """The command that records an error prints what the case of the example has."""
    (record,) = (block for block in HERE if "openReadOnly" in block.text)
    (case,) = (block for block in blocks("toml") if "no route to the host" in block.text)
    code, domain, *_, errno, _ = ast.literal_eval(run(record).splitlines()[-1])
    assert f"code = {code}\ndomain = {domain}\nerrno = {errno}\n" in case.text
