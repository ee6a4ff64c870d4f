"""`make lint` holds the rooms of the source apart: it reports an import that breaks a contract of
pyproject.toml."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import tomli

from support.documents import ROOT
from support.missing import Missing
from support.process import finish

PACKAGE = Path("src", "telegraf_execd_libvirt")
TOOLS = tomli.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
CONTRACTS = {each["id"]: each for each in TOOLS["importlinter"]["contracts"]}

#: Before an import that type checkers see and the program does not.
TYPING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING: "

#: A file of the source, and what it imports; by the contract that it breaks.
WRONG = {
    "an import upwards": ("rooms", "domain/upward.py", "from ..config import values"),
    "an annotation": ("rooms", "groups/up.py", f"{TYPING}from ..program.output import Output"),
    "a module without a place": ("rooms", "unplaced.py", ""),
    "a room without a place": ("rooms", "placeless/__init__.py", ""),
    "a circle": ("circles", "domain/circular.py", "from .other import it"),
    "a circle, too": ("circles", "domain/other.py", f"{TYPING}from .circular import it"),
    "libvirt in hypervisor/": ("connection", "hypervisor/direct.py", "import libvirt"),
    "ctypes in program/": ("connection", "program/binding.py", "import ctypes"),
    "libvirt in lines/": ("libvirt", "lines/wrong.py", "import libvirt"),
    "libvirt by another module": (
        "libvirt",
        "config/indirect.py",
        "def f(): from ..connection import api",
    ),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict[str, str]:
    """What import-linter says about the source with all wrong files, by the contract."""
    command = Path(sys.executable).with_name("lint-imports")
    if not command.exists():
        raise Missing("import-linter; the version for this test needs Python 3.10")
    folder = tmp_path_factory.mktemp("contracts")
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(ROOT / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("*.pyc"))
    for _, name, text in WRONG.values():
        path = folder / PACKAGE / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text}\n", "utf-8")
    plain = {"PYTHONPATH": str(folder / "src"), "COLUMNS": "200", "NO_COLOR": "1"}
    options = ("--no-cache", "--no-logo")
    said = finish(command, *options, status=1, cwd=folder, env={**os.environ, **plain})
    details = said.partition("\nBroken contracts\n")[2]
    names = "|".join(re.escape(each["name"]) for each in CONTRACTS.values())
    _, *parts = re.split(rf"^({names})\n-+$", details, flags=re.MULTILINE)
    named = dict(zip(parts[::2], parts[1::2]))
    return {id: named.get(each["name"], "") for id, each in CONTRACTS.items()}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_import_is_reported(report: dict[str, str], case: str) -> None:
    """One wrong import is enough, and each is named."""
    contract, name, _ = WRONG[case]
    module = name.replace("/__init__", "")[: -len(".py")].rpartition("/")[2]
    assert re.search(rf"\.{module}\b", report[contract]), report[contract]


def test_each_contract_has_a_case() -> None:
    """Each contract is broken by one of the imports above."""
    assert {contract for contract, *_ in WRONG.values()} == {*CONTRACTS}


def test_the_table_of_rooms_is_the_contract() -> None:
    """CONTRIBUTING.md lists the rooms in the order of their contract."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = page.partition("\n| name | content |\n| --- | --- |\n")[2].partition("\n\n")[0]
    layers = CONTRACTS["rooms"]["layers"]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == layers


def test_no_libvirt_at_run_time() -> None:
    """The rooms that never import libvirt do not load it; what they import for annotations only is
    not loaded."""
    modules = [
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        for room in ("lines", "config", "groups", "domain")
        for path in sorted((ROOT / PACKAGE / room).glob("*.py"))
    ]
    code = f"import sys, {', '.join(modules)}; sys.exit('libvirt' in sys.modules)"
    finish(sys.executable, "-c", code)
