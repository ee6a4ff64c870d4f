"""`make lint` holds the rooms of the source apart: each contract of pyproject.toml fails if an
import breaks it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from support.missing import leave_out

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path("src", "telegraf_execd_libvirt")
TOOLS = tomli.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
CONTRACTS = {each["id"]: each["name"] for each in TOOLS["importlinter"]["contracts"]}

#: Before an import that type checkers see and the program does not.
FOR_ANNOTATIONS = "from typing import TYPE_CHECKING\nif TYPE_CHECKING: "


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the source and the contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / PACKAGE, tmp_path / PACKAGE, ignore=shutil.ignore_patterns("*.pyc"))
    return tmp_path


def broken(folder: Path) -> set[str]:
    """The contracts that this source breaks, by the report of import-linter."""
    command = Path(sys.executable).with_name("lint-imports")
    if not command.exists():
        leave_out("import-linter is not installed; the version for this test needs Python 3.10")
    done = subprocess.run(
        [command, "--no-cache", "--no-logo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    report = done.stdout.splitlines()
    found = {
        id for id, name in CONTRACTS.items() if any(s.startswith(f"{name} BROKEN") for s in report)
    }
    assert done.returncode == bool(found), done.stdout + done.stderr
    return found


def test_the_source_breaks_none(copy: Path) -> None:
    """Without a wrong import all contracts are kept."""
    assert broken(copy) == set()


#: A contract, and new files of the source that break it.
CASES = {
    "an import upwards": ("rooms", {"domain/wrong.py": "from ..config import values"}),
    "an import upwards for an annotation": (
        "rooms",
        {"groups/wrong.py": f"{FOR_ANNOTATIONS}from ..program.output import Output"},
    ),
    "a module without a place": ("rooms", {"wrong.py": ""}),
    "a room without a place": ("rooms", {"wrong/__init__.py": ""}),
    "a circle of two files": (
        "circles",
        {
            "domain/wrong.py": "from .other import it",
            "domain/other.py": f"{FOR_ANNOTATIONS}from .wrong import it",
        },
    ),
    "libvirt in hypervisor/": ("connection", {"hypervisor/wrong.py": "import libvirt"}),
    "ctypes in program/": ("connection", {"program/wrong.py": "import ctypes"}),
    "libvirt in lines/": ("libvirt", {"lines/wrong.py": "import libvirt"}),
    "libvirt in config/ by another module": (
        "libvirt",
        {"config/wrong.py": "def f(): from ..connection import api"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_import_breaks_it(copy: Path, case: str) -> None:
    """One wrong import is enough."""
    contract, files = CASES[case]
    for name, text in files.items():
        path = copy / PACKAGE / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text}\n", "utf-8")
    assert contract in broken(copy)


def test_each_contract_has_a_case() -> None:
    """Each contract is broken by one of the tests above."""
    assert {contract for contract, _ in CASES.values()} == {*CONTRACTS}


def test_the_table_of_rooms_is_the_contract() -> None:
    """CONTRIBUTING.md lists the rooms in the order of their contract."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = page.partition("\n| name | content |\n| --- | --- |\n")[2].partition("\n\n")[0]
    (contract,) = (each for each in TOOLS["importlinter"]["contracts"] if each["id"] == "rooms")
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == contract["layers"]


@pytest.mark.parametrize("room", ["lines", "config", "groups", "domain"])
def test_no_libvirt_at_run_time(room: str) -> None:
    """These rooms do not load libvirt; what they import for annotations only is not loaded."""
    modules = [
        ".".join((PACKAGE / path.relative_to(ROOT / PACKAGE)).with_suffix("").parts[1:])
        for path in sorted((ROOT / PACKAGE / room).glob("*.py"))
    ]
    code = f"import sys, {', '.join(modules)}; sys.exit('libvirt' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
