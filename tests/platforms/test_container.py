"""The plugin in a container, which reads a real libvirtd outside of it.

The rule: images and containers are in the tests' folder; the base is made from the apt sources, no
image is downloaded. Where no container can run, the tests are skipped and say why.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.debian import PATH, Debian, run
from support.documents import ROOT
from support.hypervisor import Hypervisor
from support.missing import needed
from support.process import Workspace

NAME = "telegraf-execd-libvirt"

#: No more than what the container shares with the host: some hosts may not raise their limits.
LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000")


class Podman:
    """Podman with images and containers in a folder."""

    def __init__(self, workspace: Workspace) -> None:
        for program in ("podman", "runc"):
            needed(program, program, PATH)
        folder = workspace.folder / "containers"
        storage = (f"--root={folder}/images", f"--runroot={folder}/run", "--storage-driver=vfs")
        # Without systemd; the other runtime needs cgroups of one version.
        self._start = ("podman", *storage, "--cgroup-manager=cgroupfs", "--runtime=runc")
        self._workspace = workspace

    def __call__(self, name: str, *command: object, expected: int = 0) -> str:
        """Run a podman command; return its output."""
        return run(self._workspace, name, *self._start, *command, expected=expected, PATH=PATH)

    def runs(self, image: str) -> str:
        """Run a command in a container; return the end of its complaint, if there is one."""
        command = (*self._start, "run", "--rm", "--network=host", *LIMITS, image, "true")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stderr.strip() if done.returncode else ""


@pytest.fixture(scope="module")
def podman(workspace: Workspace, dist: Path) -> Podman:
    """Podman, with the image `plugin` that the Containerfile makes of a bare Debian."""
    podman = Podman(workspace)
    debian = Debian(workspace, platform.freedesktop_os_release()["VERSION_CODENAME"])
    run(workspace, "tar", "tar", "-C", debian.root, "-cf", workspace.folder / "base.tar", ".")
    shutil.rmtree(debian.root)  # the tests of this release make it again
    podman("import", "import", workspace.folder / "base.tar", "base")
    if complaint := podman.runs("base"):
        pytest.skip(f"no container can run here: {complaint}")
    build = ("build", "--isolation=chroot", "--network=host", "--build-arg=BASE=localhost/base")
    podman("build", *build, "--tag=plugin", f"--file={ROOT}/packaging/Containerfile", str(dist))
    return podman


@pytest.fixture(scope="module")
def hypervisor() -> Iterator[Hypervisor]:
    """A real libvirtd with guests, outside of the container."""
    with Hypervisor(idle_guests=1, linux=False) as started:
        yield started


def collect(podman: Podman, hypervisor: Hypervisor, user: str, expected: int = 0) -> str:
    """One collection in a container that has the folder of libvirt's sockets."""
    folder = hypervisor.socket.parent
    options = ("--rm", "--network=none", *LIMITS, f"--volume={folder}:/run/libvirt:ro")
    uri = f"qemu+unix:///session?socket=/run/libvirt/{hypervisor.socket.name}"
    command = ("plugin", NAME, "--once", "--uri", uri)
    return podman("once", "run", *options, f"--user={user}", *command, expected=expected)


def test_the_host_s_guests_are_read_from_the_container(
    podman: Podman, hypervisor: Hypervisor
) -> None:
    """With the folder of the sockets, read-only, and the number of a user who may connect, the
    guests of the host are read; also after the daemon was started again, which makes new sockets.
    """
    owner = hypervisor.socket.stat().st_uid
    for _ in range(2):
        output = collect(podman, hypervisor, f"{owner}:{owner}")
        assert "libvirt_state,domain_name=idle1 state=1i" in output
        hypervisor.kill_daemon()
        hypervisor.start_daemon()


def test_another_user_of_the_container_is_refused(podman: Podman, hypervisor: Hypervisor) -> None:
    """Users are numbers: one whom the host's socket refuses is refused, and told what helps."""
    output = collect(podman, hypervisor, "4242:4242", expected=1)
    assert "cannot be read: " in output and "Permission denied" in output


def test_the_image_has_the_base_s_entry_point(podman: Podman) -> None:
    """The image adds files to its base, and neither command nor user."""
    config = json.loads(podman("inspect", "inspect", "plugin"))[0]["Config"]
    assert not {"Cmd", "Entrypoint"} & {key for key, value in config.items() if value}
