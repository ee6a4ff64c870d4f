"""Build what is published, into dist/; `make dist`, `make deb` and `make rpm` run this script.

- the sdist and, from it, the wheel;
- telegraf-execd-libvirt.pyz, the wheel and tomli in one file that the distribution's python3 runs;
- the Debian package, if debhelper and the other build dependencies are installed;
- the RPM package, if rpmbuild is installed.

With the argument `deb` or `rpm` it builds that package only, and fails if it cannot. These two need
nothing but the distribution's tools, so this file imports nothing else.

All but the sdist are built in copies of the source, so nothing is left in the source tree. Two
builds of one source with the same tools are identical: dates come from SOURCE_DATE_EPOCH or,
without it, from the last commit.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from importlib import metadata
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parents[1]
NAME = "telegraf-execd-libvirt"

# A package is built with the distribution's own programs, not with those of an active venv.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

# What the builds need. README.md and docs/install.md name the same packages.
DEB_NEEDS = "debhelper dh-python dpkg-dev pybuild-plugin-pyproject python3-hatchling"
INSTALL_DEB_NEEDS = f"apt-get install -y --no-install-recommends make {DEB_NEEDS}"
INSTALL_RPM_NEEDS = "dnf install -y make python3-devel rpm-build"

PYZ_MAIN = """\
import sys

from telegraf_execd_libvirt.__main__ import main

sys.exit(main())
"""


class Failed(Exception):
    """A command failed; the message has its output."""


class NotBuilt(Exception):
    """A package cannot be built on this host; the message names what is missing."""


def run(command: Sequence[object], folder: Path, env: Optional[Mapping[str, str]] = None) -> str:
    """Run a command and return its output; raise Failed if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(done.args)} gave {done.returncode}:\n{done.stdout}")
    return done.stdout


def source_date() -> int:
    """The date of all files, in seconds: SOURCE_DATE_EPOCH, the last commit's or the sdist's."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    if (ROOT / ".git").exists() and shutil.which("git"):
        # root may build in the checkout of another user
        git = ["git", "-c", "safe.directory=*"]
        return int(run([*git, "log", "-1", "--format=%ct"], ROOT))
    # All files of an sdist have its date.
    return int((ROOT / "pyproject.toml").stat().st_mtime)


def distribution_environment(date: int, home: Path) -> dict[str, str]:
    """An environment for the distribution's build tools."""
    return {
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "PATH": PATH,
        "SOURCE_DATE_EPOCH": str(date),
        "TZ": "UTC",
    }


def make_sdist(date: int, folder: Path) -> Path:
    """Build the sdist."""
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(date)}
    build = [sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", folder]
    run([*build, ROOT], folder, env)
    (path,) = folder.glob("*.tar.gz")
    return path


def make_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel.

    Without SOURCE_DATE_EPOCH hatchling's constant date applies, so that anybody's build from the
    sdist gives the same wheel.
    """
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder]
    run([*build, source], folder)
    (path,) = folder.glob("*.whl")
    return path


def make_pyz(wheel: Path, date: int, folder: Path) -> Path:
    """Write the zipapp: the wheel, tomli and __main__.py.

    It is stored uncompressed: compressed data depend on the version of zlib.
    """
    contents = {"__main__.py": PYZ_MAIN.encode()}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            contents[name] = archive.read(name)
    tomli = metadata.distribution("tomli")
    for file in tomli.files or []:
        # Not the compiled modules: they fit one version of Python. Each has its source beside it.
        if re.search(r"\.py$|/METADATA$|/LICENSE$", file.as_posix()):
            contents[file.as_posix()] = file.read_binary()

    path = folder / f"{NAME}.pyz"
    with path.open("wb") as output:
        output.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(output, "w") as archive:
            for name in sorted(contents):
                info = zipfile.ZipInfo(name, time.gmtime(date)[:6])
                info.create_system = 3  # Unix
                info.external_attr = 0o100644 << 16
                archive.writestr(info, contents[name])
    path.chmod(0o755)
    return path


def copy_source(date: int, folder: Path) -> Path:
    """Copy what the sdist has, as the sdist has it; to make an sdist needs tools from PyPI."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    include = project.partition("targets.sdist]\ninclude = [")[2].partition("]")[0]
    copy = folder / f"{NAME.replace('-', '_')}-{version()}"
    for name in re.findall('"/(.*)"', include):
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, copy / name)
    # Those of the checkout depend on the umask and on when each file was checked out.
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (date, date))
    return copy


def version() -> str:
    """The version of the source."""
    text = (ROOT / "src" / NAME.replace("-", "_") / "__init__.py").read_text("utf-8")
    return text.partition('__version__ = "')[2].partition('"')[0]


def make_deb(date: int, folder: Path) -> Path:
    """Build the Debian package."""
    if not shutil.which("dpkg-buildpackage", path=PATH):
        raise NotBuilt(
            f"dpkg-buildpackage is not installed; on Debian or Ubuntu, as root: {INSTALL_DEB_NEEDS}"
        )
    source = copy_source(date, folder)
    env = distribution_environment(date, folder)
    control = (source / "debian" / "control").read_text("utf-8")
    maintainer = re.findall("^Maintainer: (.*)$", control, re.MULTILINE)[0]
    (source / "debian" / "changelog").write_text(
        f"{NAME} ({version()}) unstable; urgency=medium\n\n"
        "  * See the file CHANGELOG.md of the project.\n\n"
        f" -- {maintainer}  {formatdate(date)}\n",
        "utf-8",
    )
    # A compiler, which build-essential would bring, is not needed.
    try:
        run(["dpkg-checkbuilddeps", "-I"], source, env)
    except Failed as error:
        missing = str(error).splitlines()[-1].rpartition(": ")[2].strip()
        raise NotBuilt(f"missing: {missing}; as root: {INSTALL_DEB_NEEDS}") from None
    run(["dpkg-buildpackage", "--build=binary", "--no-sign", "--no-check-builddeps"], source, env)
    (path,) = folder.glob("*.deb")
    return path


def make_rpm(date: int, folder: Path) -> Path:
    """Build the RPM package."""
    if not shutil.which("rpmbuild", path=PATH):
        raise NotBuilt(
            f"rpmbuild is not installed; on Fedora or RHEL, as root: {INSTALL_RPM_NEEDS} "
            "(on Debian the package is rpm)"
        )
    source = copy_source(date, folder)
    shutil.make_archive(str(source), "gztar", folder, source.name)
    macros = {
        "_topdir": folder,
        "_sourcedir": folder,
        "_buildhost": "localhost",
        "clamp_mtime_to_source_date_epoch": 1,
        "source_date_epoch_from_changelog": 0,
        "use_source_date_epoch_as_buildtime": 1,
    }
    defines = [f"--define={name} {value}" for name, value in macros.items()]
    # Debian's database of RPMs is empty, so no build dependency would be found.
    command = ["rpmbuild", "-bb", "--nodeps", *defines, ROOT / "packaging" / f"{NAME}.spec"]
    run(command, folder, distribution_environment(date, folder))
    (path,) = folder.glob("RPMS/noarch/*.rpm")
    return path


PACKAGES = {"deb": make_deb, "rpm": make_rpm}


def build(work: Path, only: Optional[str]) -> list[Path]:
    """Build everything, or one package, in the folder; return the files to publish."""
    date = source_date()
    folders = {name: work / name for name in ("sdist", "unpacked", "wheel", "pyz", *PACKAGES)}
    for folder in folders.values():
        folder.mkdir()
    if only:
        return [PACKAGES[only](date, folders[only])]

    sdist = make_sdist(date, folders["sdist"])
    run(["tar", "--extract", "--file", sdist], folders["unpacked"])
    (source,) = folders["unpacked"].iterdir()
    wheel = make_wheel(source, folders["wheel"])
    built = [sdist, wheel, make_pyz(wheel, date, folders["pyz"])]
    for name, make in PACKAGES.items():
        try:
            built.append(make(date, folders[name]))
        except NotBuilt as error:
            print(f"no {name} package: {error}", file=sys.stderr)
    return built


def main() -> int:
    """Build, replace what was built before, print what is built."""
    parser = argparse.ArgumentParser(description="Build what is published.")
    parser.add_argument("only", nargs="?", choices=PACKAGES, help="build this package only")
    parser.add_argument("--output", metavar="FOLDER", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    output = options.output
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix=f"{NAME}-dist-") as work:
        try:
            built = build(Path(work), options.only)
        except (Failed, NotBuilt) as error:
            print(error, file=sys.stderr)
            return 1
        if output.exists() and not options.only:
            shutil.rmtree(output)
        output.mkdir(parents=True, exist_ok=True)
        for path in built:
            for old in output.glob(f"*{path.suffix}"):
                old.unlink()
            shutil.copy2(path, output)
            print(output / path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
