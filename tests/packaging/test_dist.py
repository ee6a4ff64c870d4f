"""What `make dist` builds: reproducible, and each package runs where it is meant to run."""

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import tomli

import telegraf_execd_libvirt
from support.debian import PATH, Debian, run
from support.documents import ROOT, blocks, broken_links, load_script, pages
from support.missing import Missing, needed
from support.process import Workspace

NAME = "telegraf-execd-libvirt"
PACKAGE = "telegraf_execd_libvirt"
VERSION = telegraf_execd_libvirt.__version__
COLLECT = ("--once", "--uri", "test:///default")
CONFIGURATION = f"/etc/{NAME}.conf"
SAMPLE = (ROOT / "examples" / "plugin.conf").read_text("utf-8")
SCRIPT = Path("scripts", "make_dist.py")

PYTHON = "/usr/bin/python3"

# A file that happens to be in the source tree, and is no part of the project.
PRIVATE = ".a private note"


def digests(folder: Path) -> dict:
    """The digest of each file in the folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def has_metrics(output: str) -> bool:
    """Is the state of a domain in the output?"""
    return re.search(r"^libvirt_state,domain_name=test state=1i", output, re.MULTILINE) is not None


def needs_modules(names: str) -> None:
    """Leave the test out if the distribution's Python lacks these modules."""
    if subprocess.run([PYTHON, "-c", f"import {names}"], capture_output=True).returncode != 0:
        raise Missing(f"{names} of the distribution's Python (Debian package python3-...)")


def tree() -> set:
    """The names in the source tree where builds would leave something, without hidden ones."""
    folders = [ROOT, ROOT / "src", ROOT / "debian", ROOT / "packaging"]
    names = {path.relative_to(ROOT) for folder in folders for path in folder.iterdir()}
    return {name for name in names if not name.name.startswith(".")}


def links_broken_in(folder: Path) -> dict:
    """The broken links of each document in the folder."""
    broken = {page.name: broken_links(page) for page in pages(folder)}
    return {page: links for page, links in broken.items() if links}


@pytest.fixture(scope="module")
def workspace():
    """The folder of all that these tests make."""
    with Workspace("dist") as workspace:
        yield workspace


@pytest.fixture(scope="module")
def dist(workspace) -> Path:
    """The folder with everything that `make dist` builds; nothing is left in the source tree."""
    folder, before, private = workspace.folder / "dist", tree(), ROOT / PRIVATE
    private.touch()
    try:
        run(workspace, "make-dist", sys.executable, ROOT / SCRIPT, "--output", folder)
    finally:
        private.unlink()
    assert tree() == before
    return folder


def built(dist, workspace, pattern: str) -> Path:
    """A package, unless its tools are missing."""
    found = list(dist.glob(pattern))
    if not found:
        raise Missing(workspace.log("make-dist").read_text().strip())
    return found[0]


@pytest.fixture(scope="module")
def sdist(dist, workspace) -> Path:
    """The folder with the unpacked sdist."""
    (path,) = dist.glob("*.tar.gz")
    unpacked = workspace.folder / "unpacked"
    unpacked.mkdir()
    run(workspace, "tar", "tar", "--extract", "--file", path, "--directory", unpacked)
    (folder,) = unpacked.iterdir()
    return folder


@pytest.fixture(scope="module")
def metadata(dist):
    """The core metadata of the wheel."""
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(f"{PACKAGE}-{VERSION}.dist-info/METADATA").decode())


@pytest.fixture(scope="module")
def requirements(metadata) -> list:
    """The requirements of the plugin, without those of extras."""
    return [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]


@pytest.fixture(scope="module")
def wheels(requirements, workspace) -> Path:
    """The folder with the wheels of all requirements, and of what builds the plugin."""
    # Keep them: only the first run downloads and builds.
    needed = sorted([*requirements, "hatchling>=1.27"])
    digest = hashlib.sha256(repr((sys.version, needed)).encode()).hexdigest()[:12]
    wheels = ROOT / ".cache" / "wheels" / digest
    if not (wheels / "complete").exists():
        wheel = (sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", wheels)
        run(workspace, "pip-wheel", *wheel, *needed)
        (wheels / "complete").touch()
    return wheels


def test_two_builds_are_identical(dist, sdist, workspace):
    """A build of the unpacked sdist, elsewhere, under other settings and with an old private file,
    gives the same files.
    """
    page = sdist / "docs" / "install.md"
    page.chmod(0o600)
    os.utime(page, (0, 0))
    again = workspace.folder / "again"
    build = (sys.executable, sdist / SCRIPT, "--output", again)
    command = ("sh", "-c", 'umask 077; exec "$@"', "sh", *build)
    run(workspace, "make-dist-again", *command, TZ="Asia/Tokyo", LC_ALL="C")
    assert digests(again) == digests(dist)


def test_a_missing_build_tool_is_named(tmp_path, monkeypatch, capsys):
    """Without its tools a package is not built; the message is the command of the README."""
    make_dist = load_script("make_dist")
    monkeypatch.setattr(make_dist, "PATH", str(tmp_path))
    commands = [line for block in blocks("sh") for line in block.text.splitlines()]
    for name in make_dist.PACKAGES:
        monkeypatch.setattr(sys, "argv", ["make_dist.py", name, "--output", str(tmp_path / "dist")])
        assert make_dist.main() == 1
        error = capsys.readouterr().err
        assert [line for line in commands if line in error and line.startswith(("apt", "dnf"))]
    assert not (tmp_path / "dist").exists()


def test_the_sdist_holds_what_a_packager_needs(dist, sdist):
    """The sdist has the licence, the README, the package's data and the tests; its documents and
    what they link to are complete."""
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "Makefile"} <= names
    assert {f"src/{PACKAGE}/config/sample.conf", "tests/packaging/test_dist.py"} <= names
    assert not [name for name in names if name.startswith((".venv", ".cache", "dist", PRIVATE))]
    tops = {name.partition("/")[0] for name in names if name} - {"PKG-INFO"}
    listed = tomli.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    include = listed["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert tops == {name.strip("/") for name in include}
    assert links_broken_in(sdist) == {}


def test_the_wheel_holds_the_package_and_its_metadata(dist, metadata, requirements):
    """The wheel has the typing marker, the sample configuration and the licence, but no tests. It
    requires only libvirt's binding and a TOML reader; Python 3.9 is the oldest version. Its dates
    are hatchling's, so that anybody's build of the sdist gives the same wheel."""
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert {info.date_time[:3] for info in archive.infolist()} == {(2020, 2, 2)}
    assert {f"{PACKAGE}/py.typed", f"{PACKAGE}/config/sample.conf"} <= set(names)
    assert any(re.fullmatch(rf"{PACKAGE}-[^/]*\.dist-info/licenses/LICENSE", n) for n in names)
    assert all(re.match(rf"{PACKAGE}(-[^/]*\.dist-info)?/", name) for name in names)
    assert sorted(requirements) == ["libvirt-python>=9.0", "tomli>=2.0"]
    assert (metadata["License-Expression"], metadata["Requires-Python"]) == ("MIT", ">=3.9")


def test_the_commands_of_the_documents_for_pip(sdist, wheels, workspace, tmp_path):
    """The documents' commands for pip install the plugin from an unpacked sdist; the command and
    `python -m` print the version and metrics."""
    checkout = tmp_path / "checkout"
    checkout.symlink_to(sdist)
    (tmp_path / "usr" / "local" / "bin").mkdir(parents=True)
    (block,) = (block for block in blocks("sh") if "bin/pip " in block.text)
    settings = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PIP_NO_INDEX": "1"}
    command = ("sh", "-euc", f"cd {checkout}\n{block.moved(tmp_path)}")
    run(workspace, "pip-commands", *command, PIP_FIND_LINKS=str(wheels), **settings)
    link = tmp_path / "usr" / "local" / "bin" / NAME
    assert link.is_symlink()
    python = tmp_path / "opt" / NAME / "bin" / "python"
    for command in ((link,), (python, "-m", PACKAGE)):
        assert VERSION in run(workspace, "version", *command, "--version").split()
        assert has_metrics(run(workspace, "once", *command, *COLLECT))


def test_the_pyz_is_a_zipapp_that_holds_tomli(dist):
    """The .pyz has an interpreter line and sources only, tomli's and its licence included."""
    path = dist / f"{NAME}.pyz"
    assert path.read_bytes().startswith(b"#!/usr/bin/env python3\nPK")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert names == sorted(names)
    assert {"__main__.py", f"{PACKAGE}/config/sample.conf", "tomli/__init__.py"} <= set(names)
    assert len([name for name in names if name.endswith("/licenses/LICENSE")]) == 2
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_the_pyz_runs_with_the_distribution_s_python(dist, workspace):
    """It needs no tomli of the distribution, prints its sample configuration and the metrics of the
    test driver, and hands on the exit status: 2 for a configuration that does not exist."""
    needs_modules("libvirt")
    pyz, path = dist / f"{NAME}.pyz", workspace.folder / "plugin.conf"
    path.write_text(SAMPLE, "utf-8")
    code = f"import sys; sys.path.insert(0, {str(pyz)!r}); import tomli; print(tomli.__file__)"
    assert run(workspace, "tomli", PYTHON, "-c", code).startswith(f"{pyz}/tomli/")
    assert run(workspace, "pyz-sample", pyz, "--sample-config", PATH=PATH) == SAMPLE
    assert has_metrics(run(workspace, "pyz-once", pyz, *COLLECT, "--config", path, PATH=PATH))
    run(workspace, "pyz-wrong", pyz, "--config", "/nonexistent", expected=2, PATH=PATH)


def test_the_deb(dist, workspace):
    """The Debian package depends on Python, libvirt's binding and tomli only. It has the command,
    its configuration, manual page, documentation, examples and dashboards; all files are named
    after it."""
    deb, folder = built(dist, workspace, "*.deb"), workspace.folder / "deb"
    depends = run(workspace, "depends", "dpkg-deb", "--field", deb, "Depends").strip().split(", ")
    assert {*depends} == {"python3:any", "python3-libvirt (>= 9.0)", "python3-tomli (>= 2.0)"}
    run(workspace, "dpkg-deb", "dpkg-deb", "--raw-extract", deb, folder)
    documentation = folder / "usr" / "share" / "doc" / NAME
    assert (folder / "DEBIAN" / "conffiles").read_text() == f"{CONFIGURATION}\n"
    assert (folder / CONFIGURATION[1:]).read_text("utf-8") == SAMPLE
    assert os.access(folder / "usr" / "bin" / NAME, os.X_OK)
    assert (folder / "usr" / "share" / "man" / "man1" / f"{NAME}.1.gz").exists()
    for page in ("docs/configuration.md", "examples/telegraf.conf", "copyright"):
        assert (documentation / page).exists()
    assert (folder / "usr" / "share" / NAME / "dashboards" / "fleet-promql.json").exists()
    assert links_broken_in(documentation) == {}
    files = [path for path in folder.rglob("*") if path.is_file() and "DEBIAN" not in path.parts]
    assert all("telegraf" in str(path.relative_to(folder)) for path in files)


def test_rpmlint_finds_no_error_in_the_rpm(dist, workspace):
    """rpmlint has no error for the RPM package and its spec file."""
    packaging, rpm = ROOT / "packaging", built(dist, workspace, "*.rpm")
    lint = (needed("rpmlint", "rpmlint"), "--config", packaging / "rpmlint.toml")
    spec = packaging / f"{NAME}.spec"
    assert ": E: " not in run(workspace, "rpmlint", *lint, rpm, spec, PATH=PATH)


def test_the_rpm_s_program_collects(dist, workspace):
    """The program in the RPM package prints the metrics of the test driver."""
    rpm, folder = built(dist, workspace, "*.rpm"), workspace.folder / "rpm"
    needs_modules("libvirt, tomli")
    needed("cpio", "cpio")
    folder.mkdir()
    unpack = f"cd {folder} && rpm2cpio {shlex.quote(str(rpm))} | cpio -id --quiet"
    run(workspace, "rpm2cpio", "sh", "-c", unpack)
    assert (folder / CONFIGURATION[1:]).read_text("utf-8") == SAMPLE
    assert (folder / "usr" / "share" / "man" / "man1" / f"{NAME}.1").exists()
    assert links_broken_in(folder / "usr" / "share" / "doc" / NAME) == {}
    # The program names the folder in which it is installed.
    program = folder / "usr" / "bin" / NAME
    shared = f"/usr/share/{NAME}"
    program.write_text(program.read_text().replace(shared, f"{folder}{shared}"))
    assert has_metrics(run(workspace, "rpm-once", program, *COLLECT, PATH=PATH))


def test_the_commands_of_the_documents_in_a_bare_debian(dist, sdist, workspace):
    """All commands with apt-get, in their order, in a fresh checkout on a Debian with nothing but
    apt: from the build to the purge, which leaves no trace.

    The compiler and the headers, with which pip builds libvirt's binding, are installed in a
    simulation of apt's only.
    """
    debian = Debian(workspace, platform.freedesktop_os_release()["VERSION_CODENAME"])
    debian.run("user", "useradd", "--system", "telegraf")
    checkout = debian.root / "checkout"
    shutil.copytree(sdist, checkout)
    (checkout / "dist").mkdir()
    shutil.copy(dist / f"{NAME}.pyz", checkout / "dist")
    (debian.root / "simulate.conf").write_text('APT::Get::Simulate "true";')
    configuration = debian.root / CONFIGURATION[1:]
    changed = f"{SAMPLE}# changed\n"

    def execute(block, *start: str) -> str:
        command = (*start, "sh", "-euc", f"cd /checkout\n{block.text}")
        return debian.run(str(block).replace("/", "-"), *command, online=True)

    found = [block for block in blocks("sh") if "apt-get" in block.text]
    # A block that is the beginning of another one runs with that.
    found = [b for b in found if not any(b.text in o.text and b != o for o in found)]
    assert len(found) == 5
    for block in found:
        if "--once" in block.text:
            assert has_metrics(execute(block))
            options = ("--config", CONFIGURATION)
            once = debian.run("telegraf-once", NAME, *options, *COLLECT, user="telegraf")
            assert has_metrics(once)
            check = (NAME, *options, "--check", *COLLECT[1:])
            assert "reachable: yes" in debian.run("check", *check, user="telegraf")
        elif "--reinstall" in block.text:
            # A new default is beside the administrator's configuration.
            configuration.write_text(changed, "utf-8")
            sample = checkout / "examples" / "plugin.conf"
            sample.write_text(f"{SAMPLE}# a new default\n", "utf-8")
            execute(block)
            new = configuration.with_name(f"{configuration.name}.dpkg-dist")
            assert new.read_text("utf-8") == f"{SAMPLE}# a new default\n"
        elif "purge" in block.text:
            # The administrator's configuration is kept until the package is purged.
            debian.run("remove", "apt-get", "--yes", "remove", NAME)
            assert not (debian.root / "usr" / "bin" / NAME).exists()
            assert configuration.read_text("utf-8") == changed
            execute(block)
        elif " gcc " in block.text:
            execute(block, "env", "APT_CONFIG=/simulate.conf")
        else:
            execute(block)
    shutil.rmtree(checkout)
    # The one-file program is no package.
    left = [path.relative_to(debian.root) for path in debian.root.rglob("*telegraf*")]
    assert left == [Path("usr/local/bin", NAME)]
