"""A Linux container of libvirt's LXC driver, inside a virtual machine of the tests.

The rule: libvirtd, the container and their cgroups exist only in that machine, so nothing outside
its folder changes, and no privilege is needed. QEMU emulates the machine. Its disk has copies of
the installed libvirtd and busybox. Clients reach its libvirtd by a port of localhost.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from support import guest_kernel
from support.missing import Missing, needed
from support.process import (
    PATH,
    Closing,
    ProcessError,
    Workspace,
    end_of,
    finish,
    free_port,
    wait_for,
)

NAME = "box"
"""The running container."""

INTERFACE = "veth-box"
"""The host's end of the container's network interface."""

SECONDS_TO_BOOT = 120.0
PACKAGES = {
    "libvirtd": "libvirt-daemon",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
    "mke2fs": "e2fsprogs",
    "busybox": "busybox-static",
    "ldd": "libc-bin",
}
CONTROLLER = Path("/usr/lib/libvirt/libvirt_lxc")

# A container needs a root file system that can be pivoted; an initrd's cannot.
INITRD = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for module in {modules}; do $b insmod /modules/$module.ko; done
until $b mount -t ext4 /dev/vda /root; do $b sleep 0.1; done
$b umount /dev
exec $b switch_root /root /init
"""

INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
for folder in /dev/shm /run /tmp; do mount -t tmpfs tmpfs $folder; done
hostname containers
ifconfig lo up
ifconfig eth0 10.0.2.15 up
while true; do ifconfig {INTERFACE} 192.0.2.1 up; sleep 1; done 2>/dev/null &
exec libvirtd --listen --config /etc/libvirt/libvirtd.conf
"""

LIBVIRTD_CONF = """\
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
host_uuid = "6f1c2f0e-6d2f-4a55-9d0b-1f6f3c1c7a10"
"""

# Send a packet each second, so that the counters grow.
CONTAINER_INIT = """#!/bin/busybox sh
b=/bin/busybox
$b ifconfig eth0 192.0.2.2 up
while true; do $b ping -c 1 -W 1 192.0.2.1 || $b sleep 1; done >/dev/null 2>&1
"""

CONTAINER = f"""\
<domain type="lxc">
  <name>{NAME}</name>
  <memory unit="MiB">32</memory>
  <vcpu>1</vcpu>
  <os><type>exe</type><init>/init</init></os>
  <devices>
    <emulator>{CONTROLLER}</emulator>
    <filesystem type="mount"><source dir="/container"/><target dir="/"/></filesystem>
    <interface type="ethernet"><target dev="{INTERFACE}"/></interface>
    <console type="pty"/>
  </devices>
</domain>
"""


class Containers(Closing):
    """The virtual machine, within a `with` block; `uri` is for libvirt's clients."""

    def __init__(self) -> None:
        """Check that everything needed is installed, before anything is created."""
        self._programs = {name: needed(name, PACKAGES[name], PATH) for name in PACKAGES}
        drivers = list(Path("/usr").glob("lib*/**/libvirt/connection-driver/libvirt_driver_lxc.so"))
        if not drivers or not CONTROLLER.exists():
            raise Missing("libvirt's LXC driver (Debian package libvirt-daemon-driver-lxc)")
        self._driver = drivers[0]
        self._kernel, self._initrd = guest_kernel.kernel_and_initrd(INITRD, ("fuse", "veth"))
        self._port = free_port()
        self.uri = f"lxc+tcp://127.0.0.1:{self._port}/system"
        self._workspace: Workspace | None = None

    @property
    def folder(self) -> Path:
        """The folder of the virtual machine."""
        assert self._workspace, "it was not started"
        return self._workspace.folder

    def start(self) -> None:
        """Boot the machine and start the container."""
        self._workspace = Workspace("lxc")
        self._make_disk()
        self._boot(self._workspace)
        (self.folder / "container.xml").write_text(CONTAINER)
        self.virsh("define", str(self.folder / "container.xml"))
        self.virsh("start", NAME)

    def close(self) -> None:
        """Take everything away, in any state; may be called again."""
        if self._workspace:
            self._workspace.close()

    def virsh(self, *arguments: str) -> str:
        """Run a virsh command and return its output."""
        env = {"PATH": PATH, "LC_ALL": "C", "HOME": str(self.folder)}
        return finish("virsh", "-q", "-c", self.uri, *arguments, env=env)

    def domifstat(self) -> dict[str, int]:
        """virsh's counters of the container's network interface."""
        rows = [line.split() for line in self.virsh("domifstat", NAME, INTERFACE).splitlines()]
        return {row[1]: int(row[2]) for row in rows if row}

    def dominfo(self) -> dict[str, str]:
        """virsh's information about the container, by virsh's own labels."""
        rows = [line.partition(":") for line in self.virsh("dominfo", NAME).splitlines()]
        return {key: value.strip() for key, _, value in rows}

    def _make_disk(self) -> None:
        root = self.folder / "root"
        for name in ("dev", "proc", "sys", "run", "tmp", "bin", "etc/libvirt", "var/log", "lib64"):
            (root / name).mkdir(parents=True)
        for name in ("bin", "dev", "proc", "sys", "tmp"):
            (root / "container" / name).mkdir(parents=True)
        (root / "var/run").symlink_to("/run")
        for folder in (root, root / "container"):
            shutil.copy(self._programs["busybox"], folder / "bin/busybox")
            (folder / "init").write_text(INIT if folder == root else CONTAINER_INIT)
            (folder / "init").chmod(0o755)
        (root / "etc/libvirt/libvirtd.conf").write_text(LIBVIRTD_CONF)
        (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\n")
        programs = [Path(self._programs["libvirtd"]), CONTROLLER, self._driver]
        for path in {*programs, *guest_kernel.libraries(*programs)}:
            copy = root / path.relative_to("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        mke2fs = ("mke2fs", "-q", "-t", "ext4", "-d", root, self.folder / "disk", "256M")
        finish(*mke2fs, env={"PATH": PATH})
        shutil.rmtree(root)

    def _boot(self, workspace: Workspace) -> None:
        (self.folder / "initrd").write_bytes(self._initrd)
        forward = f"hostfwd=tcp:127.0.0.1:{self._port}-10.0.2.15:16509"
        command = [
            *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "384", "-nodefaults"),
            *("-display", "none", "-no-reboot"),
            *("-kernel", str(self._kernel), "-initrd", str(self.folder / "initrd")),
            *("-append", "console=ttyS0 quiet panic=-1 mitigations=off"),
            *("-serial", f"file:{self.folder}/console.log"),
            *("-drive", f"file={self.folder}/disk,format=raw,if=virtio"),
            *("-netdev", f"user,id=net,restrict=on,{forward}"),
            *("-device", "virtio-net-pci,netdev=net,romfile="),
        ]
        process = workspace.run("qemu", command, {"PATH": PATH})

        def answers() -> bool:
            try:
                self.virsh("list")
            except (ProcessError, subprocess.TimeoutExpired):
                return False
            return True

        try:
            wait_for(answers, SECONDS_TO_BOOT, "libvirtd", workspace.log("qemu"), process)
        except ProcessError as error:
            raise ProcessError(f"{error}; {end_of(self.folder / 'console.log')}") from None
