"""The content of wheel and sdist, and the plugin installed from the wheel."""

import hashlib
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
import tomli

from support.documents import blocks

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "telegraf_execd_libvirt"

# A file that happens to be in the source tree, and is no part of the project.
PRIVATE = ".a private note"


def run(*command) -> str:
    """Run a command; return its stdout, or fail with its output."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"{done.args} gave {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """The folder with the built wheel and sdist."""
    folder = tmp_path_factory.mktemp("dist")
    private = ROOT / PRIVATE
    private.touch()
    try:
        build(folder)
    finally:
        private.unlink()
    return folder


def digest(key: tuple) -> str:
    """The key as the name of a folder."""
    return hashlib.sha256(repr(key).encode()).hexdigest()[:12]


def build(folder: Path) -> None:
    """Build the wheel and the sdist."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    """The wheel."""
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    """The core metadata of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def requirements(metadata) -> list:
    """The requirements of the plugin, without those of extras."""
    return [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]


@pytest.fixture(scope="module")
def wheels(requirements) -> Path:
    """The folder with the wheels of all requirements, and of what builds the plugin."""
    # Keep them: only the first run downloads and builds.
    needed = sorted([*requirements, "hatchling>=1.27"])
    wheels = ROOT / ".cache" / "wheels" / digest((sys.version, needed))
    if not (wheels / "complete").exists():
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", wheels, *needed)
        (wheels / "complete").touch()
    return wheels


@pytest.fixture(scope="module")
def scripts(wheel, wheels, tmp_path_factory) -> Path:
    """The bin folder of a new environment with the wheel."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    pip = (folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-index")
    run(*pip, "--find-links", wheels, wheel)
    return folder / "bin"


def test_the_wheel_holds_the_package_and_its_licence(wheel):
    """The wheel has the typing marker, the sample configuration and the licence, but no tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {f"{PACKAGE}/py.typed", f"{PACKAGE}/config/sample.conf"} <= set(names)
    assert any(re.fullmatch(rf"{PACKAGE}-[^/]*\.dist-info/licenses/LICENSE", n) for n in names)
    assert all(re.match(rf"{PACKAGE}(-[^/]*\.dist-info)?/", name) for name in names)


def test_the_sdist_holds_what_a_packager_needs(dist):
    """The sdist has the licence, the README, the package's data and the tests."""
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "Makefile"} <= names
    assert {f"src/{PACKAGE}/config/sample.conf", "tests/packaging/test_wheel.py"} <= names
    assert not [name for name in names if name.startswith((".venv", ".cache", "dist"))]
    assert PRIVATE not in names
    tops = {name.partition("/")[0] for name in names if name} - {"PKG-INFO"}
    listed = tomli.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    include = listed["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert tops == {name.strip("/") for name in include}


def test_two_requirements_and_no_more(requirements):
    """The plugin requires only libvirt's binding and a TOML reader."""
    assert sorted(requirements) == ["libvirt-python>=9.0", "tomli>=2.0"]


def test_the_metadata_name_licence_and_pythons(metadata):
    """The licence is an SPDX expression, and Python 3.9 is the oldest version."""
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.9"


def test_the_command_knows_its_version(scripts, metadata):
    """The installed command prints the version of the wheel."""
    assert metadata["Version"] in run(scripts / "telegraf-execd-libvirt", "--version").split()


def test_the_command_collects(scripts):
    """The installed command prints the state of the test driver's domain."""
    output = run(scripts / "telegraf-execd-libvirt", "--once", "--uri", "test:///default")
    assert re.search(r"^libvirt_state,", output, re.MULTILINE)


def test_the_module_is_the_command(scripts):
    """`python -m` runs the same program as the command."""
    collected = run(scripts / "python", "-m", PACKAGE, "--once", "--uri", "test:///default")
    assert re.search(r"^libvirt_state,", collected, re.MULTILINE)
    version = run(scripts / "python", "-m", PACKAGE, "--version")
    assert version == run(scripts / "telegraf-execd-libvirt", "--version")


def test_the_commands_of_the_documents(dist, wheels, tmp_path):
    """The documents' commands for pip install the plugin from an unpacked sdist."""
    (path,) = dist.glob("*.tar.gz")
    run("tar", "--extract", "--file", path, "--directory", tmp_path, "--strip-components=1")
    (tmp_path / "usr" / "local" / "bin").mkdir(parents=True)
    (block,) = (block for block in blocks("sh") if "bin/pip " in block.text)
    settings = (f"PATH={Path(sys.executable).parent}:/usr/bin:/bin", "PIP_NO_INDEX=1")
    environment = ("env", *settings, f"PIP_FIND_LINKS={wheels}")
    run(*environment, "sh", "-euc", f"cd {tmp_path}\n{block.moved(tmp_path)}")
    command = tmp_path / "usr" / "local" / "bin" / "telegraf-execd-libvirt"
    assert command.is_symlink()
    assert re.search(r"^libvirt_state,", run(command, "--once", "--uri", "test:///default"), re.M)
