"""A Linux container of libvirt's LXC driver, in a virtual machine of the tests' own.

The rule: libvirtd, the container and their cgroups are inside that machine, so that nothing outside
its own folder is touched, and no privilege is needed. QEMU emulates it; its disk is made of the
libvirtd and the busybox that are installed; and libvirt's clients reach it by a port of localhost.
"""

from __future__ import annotations

import gzip
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from support import guest_kernel, remains
from support.missing import Missing

NAME = "box"
"""The container, which runs."""

INTERFACE = "veth-box"
"""The host's end of its network interface."""

SECONDS_TO_BOOT = 120.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGES = {
    "libvirtd": "libvirt-daemon",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
    "mke2fs": "e2fsprogs",
    "busybox": "busybox-static",
    "ldd": "libc-bin",
}
CONTROLLER = Path("/usr/lib/libvirt/libvirt_lxc")

# They depend on no other module.
MORE_MODULES = {"fuse": "fs/fuse/fuse.ko", "veth": "drivers/net/veth.ko"}

# A container needs a root that can be pivoted, which that of an initrd is not.
INITRD = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for module in {modules}; do $b insmod /modules/$module.ko; done
until $b mount -t ext4 /dev/vda /root; do $b sleep 0.1; done
$b umount /dev
exec $b switch_root /root /init
"""

INIT = """#!/bin/busybox sh
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
exec libvirtd --listen --config /etc/libvirt/libvirtd.conf
"""

LIBVIRTD_CONF = """\
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
host_uuid = "6f1c2f0e-6d2f-4a55-9d0b-1f6f3c1c7a10"
"""

# Sends on the network once a second, so that the counters move.
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


class Containers:
    """The virtual machine for the time of a `with` block; `uri` is for libvirt's clients."""

    def __init__(self) -> None:
        """Look for all that is needed, before anything is made."""
        for program, package in PACKAGES.items():
            if not shutil.which(program, path=PATH):
                raise Missing(f"{program} (Debian package {package})")
        drivers = list(Path("/usr").glob("lib*/**/libvirt/connection-driver/libvirt_driver_lxc.so"))
        if not drivers or not CONTROLLER.exists():
            raise Missing("libvirt's LXC driver (Debian package libvirt-daemon-driver-lxc)")
        self._driver = drivers[0]
        self._kernel, self._initrd = _kernel_and_initrd()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.uri = f"lxc+tcp://127.0.0.1:{self._port}/system"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Containers:
        """Boot it, and start the container; or leave nothing."""
        self.folder = Path(tempfile.mkdtemp(prefix="lxc-", dir="/tmp"))
        self._watcher = remains.watch(self.folder)
        try:
            self._make_disk()
            self._boot()
            (self.folder / "container.xml").write_text(CONTAINER)
            self.virsh("define", str(self.folder / "container.xml"))
            self.virsh("start", NAME)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take everything away, whatever has happened."""
        self.close()

    def close(self) -> None:
        """Take everything away, whatever state it is in."""
        if self._process:
            self._process.kill()
            self._process.wait()
        remains.take_away(self.folder)
        self._watcher.communicate()

    def virsh(self, *arguments: str) -> str:
        """The output of a virsh command."""
        done = subprocess.run(
            ["virsh", "-q", "-c", self.uri, *arguments],
            env={"PATH": PATH, "LC_ALL": "C", "HOME": str(self.folder)},
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"virsh {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def domifstat(self) -> dict[str, int]:
        """What virsh tells of the container's network interface."""
        rows = [line.split() for line in self.virsh("domifstat", NAME, INTERFACE).splitlines()]
        return {row[1]: int(row[2]) for row in rows if row}

    def dominfo(self) -> dict[str, str]:
        """What virsh tells of the container, by virsh's own words."""
        rows = [line.partition(":") for line in self.virsh("dominfo", NAME).splitlines()]
        return {key: value.strip() for key, _, value in rows}

    def _make_disk(self) -> None:
        root = self.folder / "root"
        for name in ("dev", "proc", "sys", "run", "tmp", "bin", "etc/libvirt", "var/log", "lib64"):
            (root / name).mkdir(parents=True)
        for name in ("bin", "dev", "proc", "sys", "tmp"):
            (root / "container" / name).mkdir(parents=True)
        (root / "var/run").symlink_to("/run")
        busybox = shutil.which("busybox", path=PATH)
        libvirtd = shutil.which("libvirtd", path=PATH)
        assert busybox and libvirtd
        for folder in (root, root / "container"):
            shutil.copy(busybox, folder / "bin/busybox")
            (folder / "init").write_text(INIT if folder == root else CONTAINER_INIT)
            (folder / "init").chmod(0o755)
        (root / "etc/libvirt/libvirtd.conf").write_text(LIBVIRTD_CONF)
        (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\n")
        programs = [Path(libvirtd), CONTROLLER, self._driver]
        for path in {*programs, *_libraries(programs)}:
            copy = root / path.relative_to("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        self._run("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(self.folder / "disk"), "256M")
        shutil.rmtree(root)

    def _boot(self) -> None:
        (self.folder / "initrd").write_bytes(self._initrd)
        forward = f"hostfwd=tcp:127.0.0.1:{self._port}-10.0.2.15:16509"
        command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "384", "-nodefaults"]
        command += ["-display", "none", "-no-reboot"]
        command += ["-kernel", str(self._kernel), "-initrd", str(self.folder / "initrd")]
        command += ["-append", "console=ttyS0 quiet panic=-1 mitigations=off"]
        command += ["-serial", f"file:{self.folder}/console.log"]
        command += ["-drive", f"file={self.folder}/disk,format=raw,if=virtio"]
        command += ["-netdev", f"user,id=net,restrict=on,{forward}"]
        command += ["-device", "virtio-net-pci,netdev=net,romfile="]
        with (self.folder / "qemu.log").open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env={"PATH": PATH},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is not for it.
            )
        (self.folder / "qemu.pid").write_text(str(self._process.pid))
        deadline = time.monotonic() + SECONDS_TO_BOOT
        while True:
            try:
                self.virsh("list")
                return
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    logs = [self.folder / name for name in ("qemu.log", "console.log")]
                    said = "".join(log.read_text(errors="replace") for log in logs if log.exists())
                    raise RuntimeError(f"it does not boot: {error}; {said[-3000:]}") from error
                time.sleep(0.2)

    def _run(self, *command: str) -> None:
        subprocess.run(command, env={"PATH": PATH}, check=True, capture_output=True)


def _libraries(programs: list[Path]) -> set[Path]:
    """The libraries that the programs load, under the names by which they are looked for."""
    found: set[Path] = set()
    for program in programs:
        output = subprocess.run(
            ["ldd", str(program)], check=True, capture_output=True, encoding="utf-8"
        ).stdout
        found |= {Path(path) for path in re.findall(r"(/\S+) \(0x", output)}
    return found


def _kernel_and_initrd() -> tuple[Path, bytes]:
    """A kernel, and an initrd that loads its modules and goes over to the disk."""
    for kernel, modules in guest_kernel._kernels():
        more = {name: modules / "kernel" / path for name, path in MORE_MODULES.items()}
        if not all(path.exists() for path in more.values()):
            continue
        loaded = guest_kernel._modules_in_order(modules)
        loaded |= {name: path.read_bytes() for name, path in more.items()}
        entry = guest_kernel._entry
        archive = b"".join(entry(name, 0o40755) for name in ("bin", "dev", "modules", "root"))
        archive += entry("bin/busybox", 0o100755, guest_kernel._static_busybox())
        for name, content in loaded.items():
            archive += entry(f"modules/{name}.ko", 0o100644, content)
        archive += entry("init", 0o100755, INITRD.format(modules=" ".join(loaded)).encode())
        return kernel, gzip.compress(archive + entry("TRAILER!!!", 0), compresslevel=1)
    raise Missing(f"a Linux kernel (Debian package {guest_kernel.METAPACKAGE})")
