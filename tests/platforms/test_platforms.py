"""The plugin on each release of Debian that it promises to run on, with the release's own Python,
libvirt-python, libvirtd and QEMU.

The rule: each release is a folder, from the archive in this host's apt sources; its programs run,
this host's do not. These tests are no part of `make test`: `make platforms` runs them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.debian import Debian
from support.documents import libraries
from support.plugin import LINE
from support.process import Workspace

NAME = "telegraf-execd-libvirt"

#: The oldest Python and libvirt that each release may have, so that the list stays true.
RELEASES = {"bookworm": ((3, 11), 9), "trixie": ((3, 13), 11), "unstable": ((3, 14), 12)}

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

#: What the tests of `make check` and those of a real hypervisor need.
PACKAGES = (
    *("busybox-static", "cpio", "e2fsprogs", "iproute2", "libvirt-clients", "libvirt-daemon"),
    *("libvirt-daemon-driver-qemu", "make", "mount", "openssh-client", "openssh-server"),
    *("procps", "qemu-system-x86", "qemu-utils"),
)
#: Since Debian 13 the drivers have packages of their own.
DRIVERS = ("libvirt-daemon-driver-network", "libvirt-daemon-driver-storage")

#: What the tests import; style, types and builds are checked only once.
LIBRARIES = libraries("build", "coverage", "hatchling", "mypy", "ruff", "vulture")

#: What builds libvirt with a daemon for each driver, which Debian does not have.
BUILD = (
    *("gcc", "gettext", "libattr1-dev", "libc6-dev", "libcap-ng-dev", "libglib2.0-dev"),
    *("libgnutls28-dev", "libjson-c-dev", "libnl-3-dev", "libnl-route-3-dev"),
    *("libpciaccess-dev", "libtirpc-dev", "libudev-dev", "libxml2-dev", "libxml2-utils", "meson"),
    *("ninja-build", "pkgconf", "xsltproc", "xz-utils"),
)
FEATURES = (
    *("driver_remote", "driver_libvirtd", "driver_qemu", "driver_network", "driver_test"),
    *("json_c", "libnl", "storage_dir", "udev", "pciaccess", "capng", "attr"),
)
# Some mirrors lack the signature; apt checks the source itself by its digest.
FETCH_AND_BUILD = """\
sed 's/^deb /deb-src /' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
apt-get update
mkdir /srv/libvirt
cd /srv/libvirt
apt-get source --download-only libvirt || test -f libvirt_*.orig.tar.xz
tar --extract --strip-components=1 --file libvirt_*.orig.tar.xz
meson setup build -Dauto_features=disabled -Ddocs=disabled -Dtests=disabled \
  -Dinit_script=none --prefix=/usr --libdir=lib64 --sysconfdir=/etc --localstatedir=/var \
  -Drunstatedir=/run "$@"
ninja -C build install
"""

#: The tests of real guests find this in their cache; they have no network.
DOWNLOAD = "from support.guest_kernel import *; kernel_and_initrd(); agent_program()"

PROJECT = "/srv/project"
PYTHON = "/srv/venv/bin/python"


def marked(release: str) -> object:
    """A release, whose tests stay in one process."""
    return pytest.param(release, marks=pytest.mark.xdist_group(release))


@pytest.fixture(scope="module", params=[marked(release) for release in RELEASES])
def debian(request: pytest.FixtureRequest, workspace: Workspace) -> Iterator[Debian]:
    """A bare Debian."""
    debian = Debian(workspace, request.param)
    yield debian
    shutil.rmtree(debian.root)


@pytest.fixture(scope="module")
def installed(debian: Debian, dist: Path) -> Debian:
    """The release with the Debian package, the one-file program, and the project's tests."""
    (deb,) = dist.glob("*.deb")
    (sdist,) = dist.glob("*.tar.gz")
    for path in (deb, sdist, dist / f"{NAME}.pyz"):
        shutil.copy(path, debian.root / "srv")
    debian.install(f"/srv/{deb.name}")
    (debian.root / PROJECT[1:]).mkdir()
    unpack = ("tar", "--extract", "--strip-components=1", "--directory", PROJECT)
    debian.run("unpack", *unpack, "--file", f"/srv/{sdist.name}")
    return debian


@pytest.fixture(scope="module")
def prepared(installed: Debian) -> Debian:
    """The release with the libraries of the tests, libvirtd and QEMU, neither of them started, and
    what guests boot; libvirt's binding is the release's own."""
    environment = PYTHON.rpartition("/bin/")[0]
    policy = installed.root / "usr" / "sbin" / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    drivers = () if installed.release == "bookworm" else DRIVERS
    installed.install("python3-venv", *PACKAGES, *drivers)
    installed.run("venv", "python3", "-m", "venv", "--system-site-packages", environment)
    # pip trusts what this host trusts; the package ca-certificates would overwrite the file.
    if CERTIFICATES.exists():
        shutil.copy(CERTIFICATES, installed.root / str(CERTIFICATES)[1:])
    pip = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    installed.run("pip", *pip, *LIBRARIES, online=True)
    (packages,) = installed.root.glob(f"{environment[1:]}/lib/python*/site-packages")
    (packages / "project.pth").write_text(f"{PROJECT}/src\n")
    python = ("env", f"PYTHONPATH={PROJECT}/tests", PYTHON, "-c", DOWNLOAD)
    installed.run("download", *python, online=True)
    return installed


def run_tests(debian: Debian, name: str, *command: str, **env: str) -> None:
    """Run tests in the project; each must run."""
    everything = {"TELEGRAF_EXECD_LIBVIRT_TEST_EVERYTHING": "1", "HOME": "/root"}
    debian.run(name, "env", "--chdir", PROJECT, *command, **everything, **env)


def test_packages(installed: Debian) -> None:
    """The Debian package and the one-file program print the test driver's ten lines, and no warning
    of Python's."""
    (python, libvirt) = RELEASES[installed.release]
    ask = "import libvirt, sys; print(*sys.version_info[:2], libvirt.getVersion() // 1_000_000)"
    found = [int(word) for word in installed.run("versions", "python3", "-c", ask).split()]
    assert (found[0], found[1]) >= python and found[2] >= libvirt
    for program in (f"/usr/bin/{NAME}", f"/srv/{NAME}.pyz"):
        warned = ("/usr/bin/python3", "-W", "error", "-X", "dev")
        output = installed.run("once", *warned, program, "--once", "--uri", "test:///default")
        lines = output.splitlines()
        assert len(lines) == 10 and all(LINE.fullmatch(line) for line in lines)


def test_check(prepared: Debian) -> None:
    """The tests of `make check` pass, and those of the process that it leaves out."""
    run_tests(prepared, "check", "make", "--old-file=lint", "check", "BIN=/srv/venv/bin")
    left_out = ("-m", "thorough and not smoke", "tests/process")
    run_tests(prepared, "thorough", PYTHON, "-m", "pytest", *left_out)


def test_real_guests(prepared: Debian) -> None:
    """The tests of real guests pass: default and full set, all sources, no unknown key."""
    files = ("agent_real", "events", "metrics", "sources_real", "tags_real")
    paths = [f"tests/real/test_{name}.py" for name in files]
    run_tests(prepared, "real", PYTHON, "-m", "pytest", *paths)


@pytest.mark.parametrize("debian", [marked("trixie")], indirect=True)
def test_modular_daemons(prepared: Debian) -> None:
    """With a daemon for each driver all works, and each may fail and return."""
    prepared.install(*BUILD)
    enabled = [f"-D{name}=enabled" for name in FEATURES]
    prepared.run("build-libvirt", "sh", "-ec", FETCH_AND_BUILD, "sh", *enabled, online=True)
    # Only what libvirt itself installs.
    shutil.rmtree(prepared.root / "etc/libvirt/qemu")
    command = (PYTHON, "-m", "pytest", "tests/platforms/modular.py")
    run_tests(prepared, "modular", *command, LD_LIBRARY_PATH="/usr/lib64")
