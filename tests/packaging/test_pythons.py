"""The plugin on the other Pythons and with the oldest requirements.

The tests of the source's rooms, and all process tests marked `smoke`, run on the oldest and the
newest Python: what none of these finds is in no Python between. On those between, the program
starts, collects and ends. Each run has its virtual environment in .venvs, which is kept until
pyproject.toml changes.
"""

import hashlib
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Optional

import pytest

from support.documents import PROJECT, ROOT, libraries
from support.missing import Missing
from support.process import ProcessError, finish

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
DISTRIBUTION = Path("/usr/bin/python3")

OLDEST = [r.replace(">=", "==") for r in PROJECT["dependencies"] if "tomli" in r]

# What the tests import; the tools for style, types, builds and dashboards are needed only once.
LIBRARIES = libraries(
    *("build", "coverage", "grafana-foundation-sdk", "hatchling", "import-linter", "mypy"),
    *("pip", "pytest-xdist", "ruff", "vulture"),
)

#: The tests of the source's rooms, and of those that need the requirements.
ROOMS = [
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").glob("test_*.py"))),
    *(f"tests/{room}" for room in ("program", "lines", "config", "sources", "connection")),
    *("tests/hypervisor", "tests/groups", "tests/domain"),
]
REQUIRING = ["tests/config", "tests/connection"]

#: Process tests marked `smoke` for the other runs.
FEW = [f"tests/process/test_{name}.py" for name in ("once", "command_line", "ticks", "stderr")]

# Does this Python have all that a virtual environment and a build of libvirt-python need?
USABLE = """
import ensurepip, os, sys, sysconfig, venv
print("%d.%d" % sys.version_info[:2])
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))
"""


def ask(python, code: str) -> Optional[str]:
    """The output of the code, or None if it fails, as pyenv's shims of absent versions do."""
    try:
        return finish(python, "-c", code, cwd="/").strip()
    except (OSError, ProcessError):
        return None


def find_python(version: str) -> Optional[Path]:
    """A usable Python of this version, from pyenv or on PATH, where pyenv's shims are slow."""
    found = [*PYENV.glob(f"{version}.*/bin/python"), shutil.which(f"python{version}")]
    return next((Path(path) for path in found if path and ask(path, USABLE) == version), None)


#: The other Pythons; on this one all tests run.
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = {v: python for v in VERSIONS if v != THIS and (python := find_python(v))}

#: By the name of an environment: its Python, how it is made, and the rooms whose tests run.
RUNS = {version: (python, (), []) for version, python in PYTHONS.items()}
for version in [*PYTHONS][:1] + [*PYTHONS][-1:]:
    RUNS[version] = (PYTHONS[version], (), ROOMS)
RUNS["oldest"] = (DISTRIBUTION, ("--system-site-packages",), REQUIRING)


def run(*command) -> None:
    """Run a command outside the environment of this pytest; fail with its whole output."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "PYTHON"))}
    finish(*command, cwd=ROOT, env=environ, timeout=900)


def run_tests(name: str) -> Path:
    """Run the tests in the environment of this name, created anew if it is outdated."""
    python, options, rooms = RUNS[name]
    if name == "oldest" and ask(python, "import ensurepip, libvirt, venv") is None:
        raise Missing("the distribution's Python with its binding (Debian package python3-libvirt)")
    environment = ROOT / ".venvs" / name
    about = ask(python, "import sys; print(sys.executable, sys.version)")
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    made_from = f"{about} {options} {digest}"
    stamp = environment / "made-from"
    if not stamp.exists() or stamp.read_text() != made_from:
        # This pytest's pip serves all, and a line in a .pth file is a fast editable installation.
        run(python, "-m", "venv", "--clear", "--without-pip", *options, environment)
        pip = (sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install")
        oldest = OLDEST if name == "oldest" else []
        needed = [*PROJECT["dependencies"], *LIBRARIES, *oldest]
        run(*pip, "--quiet", "--disable-pip-version-check", "--no-compile", *needed)
        (packages,) = environment.glob("lib/python*/site-packages")
        (packages / "project.pth").write_text(f"{ROOT / 'src'}\n")
        stamp.write_text(made_from)
    pytest_command = (environment / "bin" / "python", "-m", "pytest", "-p", "no:cacheprovider")
    if rooms:
        # Few examples: another Python treats the types of values differently, not the values.
        run(*pytest_command, "--hypothesis-profile=quick", *rooms)
    run(*pytest_command, "-m", "smoke", *(["tests/process"] if rooms == ROOMS else FEW))
    return environment


@pytest.fixture(scope="module")
def runs(request):
    """The runs of the selected tests, three at a time."""
    selected = {item.name for item in request.session.items}
    with ThreadPoolExecutor(max_workers=3) as pool:
        names = [name for name in RUNS if f"test_on[{name}]" in selected]
        yield {name: pool.submit(run_tests, name) for name in names}
        pool.shutdown(wait=True, cancel_futures=True)


@pytest.mark.parametrize("name", RUNS)
def test_on(runs, name):
    """The tests pass on this Python, or with the distribution's libvirt-python and the oldest
    tomli."""
    environment = runs[name].result()
    if name == "oldest":
        module = ask(environment / "bin" / "python", "import libvirt; print(libvirt.__file__)")
        assert module is not None
        assert environment not in Path(module).parents
