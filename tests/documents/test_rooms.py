"""The source has few rooms of short files, and the tests have the same rooms."""

from __future__ import annotations

import ast
import re

import pytest

from support.documents import ROOT

PACKAGE = ROOT / "src" / "telegraf_execd_libvirt"
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))

#: The names at the top of the package, the lines of a file, and the files to read about hanging.
MOST_NAMES, MOST_LINES = 12, 250
MOST_FILES_ABOUT_HANGING = 10

#: The tests of the rooms and of the two files at the top, by their paths below tests/.
TESTS = [
    path.relative_to(ROOT / "tests").as_posix()
    for room in ("", *ROOMS)
    for path in sorted((ROOT / "tests" / room).glob("test_*.py"))
]

#: Tests of a room as a whole, and what they are.
WHOLE = {
    "config/test_golden_errors.py": "a folder of wrong configurations, and what is said about each",
    "lines/test_golden.py": "a folder of dumps, and the lines of each",
}


def test_the_source_has_few_names_and_short_files() -> None:
    """The package has few names at its top, rooms without rooms, and no long file."""
    names = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert len(names - {"__pycache__"}) <= MOST_NAMES
    assert {len(path.relative_to(PACKAGE).parts) for path in FILES} == {1, 2}
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


@pytest.mark.parametrize("name", sorted({*TESTS, *WHOLE}))
def test_a_test_is_where_its_file_is(name: str) -> None:
    """tests/ROOM/test_FILE.py tests ROOM/FILE.py, as does test_FILE_ASPECT.py."""
    room, _, file = name.rpartition("/")
    subject = file[len("test_") : -len(".py")]
    files = [path.stem for path in (PACKAGE / room).glob("*.py")]
    has_file = any(subject == file or subject.startswith(f"{file}_") for file in files)
    assert has_file != (name in WHOLE)


def test_named_methods_and_files_exist() -> None:
    """The methods and the files of rooms that CONTRIBUTING.md names exist; the files to read about
    hanging are few."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    trees = (ast.parse(path.read_text("utf-8")) for path in FILES)
    methods = {
        f"{found.name}.{method.name}"
        for tree in trees
        for found in tree.body
        if isinstance(found, ast.ClassDef)
        for method in found.body
        if isinstance(method, ast.FunctionDef)
    }
    named = set(re.findall(r"`([A-Z][a-z]+\.\w+)`", page))
    assert len(named) > 10 and named <= methods
    files = re.findall(rf"`((?:{'|'.join(ROOMS)})/\w+\.py)`", page)
    assert [name for name in files if not (PACKAGE / name).is_file()] == []
    hanging = page.partition("### Hanging")[2].partition("### ")[0]
    assert 0 < len(re.findall(r"^\| `", hanging, re.MULTILINE)) <= MOST_FILES_ABOUT_HANGING
