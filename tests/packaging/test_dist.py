"""What `make dist` builds: reproducible, and each package runs where it is meant to run."""

import hashlib
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

import telegraf_execd_libvirt
from support.debian import APT, PATH, Debian, run
from support.documents import blocks, broken_links, pages
from support.missing import available, leave_out
from support.process import Workspace

ROOT = Path(__file__).resolve().parents[2]
NAME = "telegraf-execd-libvirt"
PACKAGE = "telegraf_execd_libvirt"
VERSION = telegraf_execd_libvirt.__version__
COLLECT = ("--once", "--uri", "test:///default")
CONFIGURATION = f"/etc/{NAME}.conf"
SAMPLE = (ROOT / "examples" / "plugin.conf").read_text("utf-8")

PYTHON = "/usr/bin/python3"


def digests(folder: Path) -> dict:
    """The digest of each file in the folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def load_script():
    """The script of `make dist`, as a module."""
    path = ROOT / "scripts" / "make_dist.py"
    spec = importlib.util.spec_from_file_location("make_dist", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def has_metrics(output: str) -> bool:
    """Is the state of a domain in the output?"""
    return re.search(r"^libvirt_state,domain_name=test state=1i", output, re.MULTILINE) is not None


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    """The folder of all that these tests make."""
    with Workspace("dist") as workspace:
        yield workspace


def tree() -> set:
    """The names in the source tree where builds would leave something, without hidden ones."""
    folders = [ROOT, ROOT / "src", ROOT / "debian", ROOT / "packaging"]
    names = {path.relative_to(ROOT) for folder in folders for path in folder.iterdir()}
    return {name for name in names if not name.name.startswith(".")}


@pytest.fixture(scope="module")
def tree_before() -> set:
    """The names in the source tree before the build."""
    return tree()


@pytest.fixture(scope="module")
def dist(tree_before, workspace) -> Path:
    """The folder with everything that `make dist` builds."""
    script = ROOT / "scripts" / "make_dist.py"
    folder = workspace.folder / "dist"
    run(workspace, "make-dist", sys.executable, script, "--output", folder)
    return folder


@pytest.fixture(scope="module")
def left_in_tree(tree_before, dist) -> set:
    """What the build left in the source tree."""
    return tree() - tree_before


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
def pyz(dist) -> Path:
    """The one-file program, if the distribution's Python has libvirt's binding."""
    if subprocess.run([PYTHON, "-c", "import libvirt"], capture_output=True).returncode != 0:
        leave_out("the distribution's python3-libvirt is not installed")
    return dist / f"{NAME}.pyz"


@pytest.fixture(scope="module")
def deb(dist, workspace) -> Path:
    """The Debian package."""
    path = dist / f"{NAME}_{VERSION}_all.deb"
    if not path.exists():
        leave_out(workspace.log("make-dist").read_text().strip())
    return path


APT_S_RECORDS = {"/var/lib/apt/extended_states"}


@pytest.fixture(scope="module")
def debian(workspace) -> Debian:
    """A bare Debian of this host's release."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    with available(lambda: nullcontext(Debian(workspace, release))) as debian:
        debian.build()
        return debian


@pytest.fixture(scope="module")
def rpm(dist, workspace) -> Path:
    """The RPM package."""
    found = list(dist.glob("*.rpm"))
    if not found:
        leave_out(workspace.log("make-dist").read_text().strip())
    return found[0]


def test_the_source_tree_stays_clean(left_in_tree):
    """A build leaves nothing in the source tree."""
    assert left_in_tree == set()


def test_two_builds_are_identical(dist, sdist, workspace):
    """A build of the unpacked sdist, elsewhere, under other settings and with an old private file,
    gives the same files.
    """
    page = sdist / "docs" / "install.md"
    page.chmod(0o600)
    os.utime(page, (0, 0))
    again = workspace.folder / "again"
    script = sdist / "scripts" / "make_dist.py"
    command = ("sh", "-c", 'umask 077; exec "$@"', "sh", sys.executable, script, "--output", again)
    run(workspace, "make-dist-again", *command, TZ="Asia/Tokyo", LC_ALL="C")
    assert digests(again) == digests(dist)


def test_a_build_of_the_sdist_gives_the_same_wheel(dist, sdist, workspace):
    """`python -m build` in the unpacked sdist gives the published wheel."""
    folder = workspace.folder / "wheel"
    build = (sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder)
    run(workspace, "build", *build, sdist)
    (wheel,) = dist.glob("*.whl")
    assert digests(folder) == {wheel.name: digests(dist)[wheel.name]}


def test_a_missing_build_tool_is_named(tmp_path, monkeypatch, capsys):
    """Without its tools a package is not built; the message is the command of the README."""
    make_dist = load_script()
    monkeypatch.setattr(make_dist, "PATH", str(tmp_path))
    commands = [line for block in blocks("sh") for line in block.text.splitlines()]
    for name in make_dist.PACKAGES:
        monkeypatch.setattr(sys, "argv", ["make_dist.py", name, "--output", str(tmp_path / "dist")])
        assert make_dist.main() == 1
        error = capsys.readouterr().err
        assert [line for line in commands if line in error and line.startswith(("apt", "dnf"))]
    assert not (tmp_path / "dist").exists()


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


def test_the_pyz_collects_with_the_distribution_s_python(pyz, workspace):
    """The .pyz is a program that prints the metrics of the test driver."""
    path = workspace.folder / "plugin.conf"
    path.write_text(SAMPLE, "utf-8")
    assert has_metrics(run(workspace, "pyz-once", pyz, *COLLECT, "--config", path, PATH=PATH))


def test_the_pyz_uses_its_own_tomli(pyz):
    """The distribution's tomli is not needed."""
    code = f"import sys; sys.path.insert(0, {str(pyz)!r}); import tomli; print(tomli.__file__)"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{pyz}/tomli/")


def test_the_pyz_reads_its_data(pyz, workspace):
    """The sample configuration comes out of the .pyz."""
    assert run(workspace, "pyz-sample", pyz, "--sample-config", PATH=PATH) == SAMPLE


def test_the_pyz_hands_on_the_exit_status(pyz, workspace):
    """A configuration that does not exist ends the .pyz with status 2."""
    run(workspace, "pyz-wrong", pyz, "--config", "/nonexistent", expected=2, PATH=PATH)


def test_the_deb_depends_on_packages_of_the_distribution(deb):
    """The Debian package depends on Python, libvirt's binding and tomli only."""
    field = subprocess.run(
        ["dpkg-deb", "--field", deb, "Depends"], capture_output=True, text=True, check=True
    )
    depends = set(field.stdout.strip().split(", "))
    assert depends == {"python3:any", "python3-libvirt (>= 9.0)", "python3-tomli (>= 2.0)"}


def test_the_deb_holds_command_configuration_and_documentation(deb, workspace):
    """The command, its configuration, manual page, documentation, examples and dashboards."""
    folder = workspace.folder / "deb"
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


def links_broken_in(folder: Path) -> dict:
    """The broken links of each document in the folder."""
    broken = {page.name: broken_links(page) for page in pages(folder)}
    return {page: links for page, links in broken.items() if links}


def test_the_links_of_the_sdist_work(sdist):
    """The documents of the sdist and what they link to are complete."""
    assert links_broken_in(sdist) == {}


def test_rpmlint_finds_no_error_in_the_rpm(rpm, workspace):
    """rpmlint has no error for the RPM package and its spec file."""
    if not shutil.which("rpmlint"):
        leave_out("rpmlint is not installed")
    packaging = ROOT / "packaging"
    lint = ("rpmlint", "--config", packaging / "rpmlint.toml", rpm, packaging / f"{NAME}.spec")
    assert ": E: " not in run(workspace, "rpmlint", *lint, PATH=PATH)


def test_the_rpm_s_program_collects(rpm, workspace):
    """The program in the RPM package prints the metrics of the test driver."""
    if subprocess.run([PYTHON, "-c", "import libvirt, tomli"], capture_output=True).returncode != 0:
        leave_out("the distribution's python3-libvirt or python3-tomli is not installed")
    if not shutil.which("cpio"):
        leave_out("cpio is not installed")
    folder = workspace.folder / "rpm"
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


def test_the_deb_in_a_bare_debian(deb, debian):
    """On a Debian with nothing but apt: installed, run as telegraf, removed, purged, no trace."""
    debian.run("user", "useradd", "--system", "telegraf")
    before = debian.files()
    shutil.copy(deb, debian.root / "root")

    debian.run("install", *APT, "install", f"/root/{deb.name}")
    assert has_metrics(debian.run("once", NAME, *COLLECT))
    as_telegraf = (NAME, "--config", CONFIGURATION)
    assert has_metrics(debian.run("telegraf-once", *as_telegraf, *COLLECT, user="telegraf"))
    checked = debian.run("check", *as_telegraf, "--check", *COLLECT[1:], user="telegraf")
    assert "reachable: yes" in checked

    # The administrator's configuration is kept until the package is purged.
    configuration = debian.root / CONFIGURATION[1:]
    configuration.write_text(f"{SAMPLE}# changed\n", "utf-8")
    debian.run("remove", *APT, "remove", NAME)
    assert not (debian.root / "usr" / "bin" / NAME).exists()
    assert configuration.read_text("utf-8") == f"{SAMPLE}# changed\n"
    debian.run("purge", *APT, "purge", NAME)
    (debian.root / "root" / deb.name).unlink()
    assert not [path for path in debian.files() if "telegraf" in path]

    # With what it depends on, the whole system is as before.
    debian.run("autoremove", *APT, "autoremove", "--purge")
    assert debian.files() - before <= APT_S_RECORDS


def test_the_commands_of_the_documents_in_a_bare_debian(debian, dist, sdist):
    """All commands with apt-get, in their order, in a fresh checkout: from the build to the purge.

    The compiler and the headers, with which pip builds libvirt's binding, are installed in a
    simulation of apt's only.
    """
    checkout = debian.root / "checkout"
    shutil.copytree(sdist, checkout)
    (checkout / "dist").mkdir()
    shutil.copy(dist / f"{NAME}.pyz", checkout / "dist")
    (debian.root / "simulate.conf").write_text('APT::Get::Simulate "true";')
    configuration = debian.root / CONFIGURATION[1:]
    sample = checkout / "examples" / "plugin.conf"
    seen = set()
    for block in (block for block in blocks("sh") if "apt-get" in block.text):
        if "--reinstall" in block.text:
            configuration.write_text(f"{SAMPLE}# changed\n", "utf-8")
            sample.write_text(f"{SAMPLE}# a new default\n", "utf-8")
        simulate = ("env", "APT_CONFIG=/simulate.conf") if " gcc " in block.text else ()
        command = ("sh", "-euc", f"cd /checkout\n{block.text}")
        output = debian.run(str(block).replace("/", "-"), *simulate, *command)
        seen.add(has_metrics(output))
        if "--reinstall" in block.text:
            assert configuration.read_text("utf-8") == f"{SAMPLE}# changed\n"
            new = configuration.with_name(f"{configuration.name}.dpkg-dist")
            assert new.read_text("utf-8") == f"{SAMPLE}# a new default\n"
    assert seen == {True, False}
    shutil.rmtree(checkout)
    # The one-file program is no package.
    left = [path for path in debian.files() if "telegraf" in path]
    assert left == [f"/usr/local/bin/{NAME}"]
