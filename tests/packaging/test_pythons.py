"""The pure tests and the process tests marked `smoke`, on the other Pythons and the oldest
requirements; those of documents and dashboards say nothing about a Python.

Each run has its virtual environment in .venvs, which is kept until pyproject.toml changes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Optional

import pytest
import tomli

from support.missing import leave_out

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"

PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]

# What the tests import; the tools for style, types, builds and dashboards are needed only once.
TOOLS = (
    *("build", "coverage", "grafana-foundation-sdk", "hatchling", "import-linter", "mypy"),
    *("pytest-xdist", "ruff", "vulture"),
)
#: The tests of the source's rooms.
ROOMS = [
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").glob("test_*.py"))),
    *(f"tests/{room}" for room in ("program", "lines", "config", "sources", "connection")),
    *("tests/hypervisor", "tests/groups", "tests/domain"),
]
LIBRARIES = [
    requirement
    for requirement in PROJECT["optional-dependencies"]["test"]
    if not requirement.startswith(TOOLS)
]

# Does this Python have all that a virtual environment and a build of libvirt-python need?
USABLE = """
import ensurepip, os, sys, sysconfig, venv
print("%d.%d" % sys.version_info[:2])
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))
"""


def ask(python, code: str) -> Optional[str]:
    """The output of the code, or None if it fails, as pyenv's shims of absent versions do."""
    try:
        done = subprocess.run(
            [python, "-c", code], cwd="/", capture_output=True, text=True, timeout=60, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def find_python(version: str) -> Optional[Path]:
    """A usable Python of this version, on PATH or from pyenv."""
    found = [shutil.which(f"python{version}"), *PYENV.glob(f"{version}.*/bin/python")]
    return next((Path(path) for path in found if path and ask(path, USABLE) == version), None)


def run(*command) -> None:
    """Run a command outside the environment of this pytest; fail with its whole output."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "PYTHON"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"{done.args} gave {done.returncode}:\n{done.stdout}", pytrace=False)


def run_tests(
    name: str, python: Path, options: tuple = (), requirements: Sequence[str] = ()
) -> Path:
    """Run the tests in the environment of this name, created anew if it is outdated."""
    environment = ROOT / ".venvs" / name
    made_from = repr(
        (
            ask(python, "import sys; print(sys.executable, sys.version)"),
            options,
            [*requirements],
            hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest(),
        )
    )
    stamp = environment / "made-from"
    if not stamp.exists() or stamp.read_text() != made_from:
        # This pytest's pip serves all, and a line in a .pth file is a fast editable installation.
        run(python, "-m", "venv", "--clear", "--without-pip", *options, environment)
        pip = (sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install")
        needed = [*PROJECT["dependencies"], *LIBRARIES, *requirements]
        run(*pip, "--quiet", "--disable-pip-version-check", *needed)
        (packages,) = environment.glob("lib/python*/site-packages")
        (packages / "project.pth").write_text(f"{ROOT / 'src'}\n")
        stamp.write_text(made_from)
    pytest_command = (environment / "bin" / "python", "-m", "pytest", "-p", "no:cacheprovider")
    # Few examples: another Python treats the types of values differently, not the values.
    run(*pytest_command, "--hypothesis-profile=quick", *ROOMS)
    run(*pytest_command, "-m", "smoke", "tests/process")
    return environment


#: All tests run on this Python, so it needs no separate run.
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = {
    version: path
    for version in VERSIONS
    for path in [find_python(version)]
    if path and version != THIS
}


DISTRIBUTION = Path("/usr/bin/python3")
HAS_BINDING = ask(DISTRIBUTION, "import ensurepip, libvirt, venv") is not None
OLDEST = "test_with_the_distribution_s_binding_and_the_oldest_tomli"


@pytest.fixture(scope="module")
def runs(request):
    """The runs of the selected tests, three at a time."""
    selected = {item.name for item in request.session.items}
    with ThreadPoolExecutor(max_workers=3) as pool:
        futures = {}
        if OLDEST in selected and HAS_BINDING:
            oldest = [r.replace(">=", "==") for r in PROJECT["dependencies"] if "tomli" in r]
            options = ("--system-site-packages",)
            futures["oldest"] = pool.submit(run_tests, "oldest", DISTRIBUTION, options, oldest)
        for version, python in PYTHONS.items():
            if f"test_on_python[{version}]" in selected:
                futures[version] = pool.submit(run_tests, version, python)
        yield futures
        pool.shutdown(wait=True, cancel_futures=True)


@pytest.mark.parametrize("version", PYTHONS)
def test_on_python(version: str, runs: "dict[str, Future[Path]]"):
    """The tests pass on this Python."""
    runs[version].result()


def test_with_the_distribution_s_binding_and_the_oldest_tomli(runs: "dict[str, Future[Path]]"):
    """The tests pass with the distribution's libvirt-python and the oldest tomli."""
    if not HAS_BINDING:
        leave_out("the distribution's python3-libvirt (or its venv module) is not installed")
    environment = runs["oldest"].result()
    module = ask(environment / "bin" / "python", "import libvirt; print(libvirt.__file__)")
    assert module is not None
    assert environment not in Path(module).parents
