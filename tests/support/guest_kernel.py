"""The Linux of the booting guest: a packaged kernel, and an initrd with a static busybox.

The rule: only the package manager downloads, and only once. Installed packages are preferred.
Otherwise Debian's cloud kernel and guest agent are unpacked, not installed, into .cache in the
checkout.
"""

from __future__ import annotations

import fcntl
import gzip
import lzma
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from support.missing import Missing, needed
from support.process import PATH, ProcessError, finish

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "guest"
METAPACKAGE, AGENT_PACKAGE = "linux-image-cloud-amd64", "qemu-guest-agent"
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_balloon", "virtio_console", "ext4")

#: The kernel's command line of a guest whose work is to run the guest agent, again if it ends, and
#: the lines that come by the channel `control`; $b is busybox in them.
RUN_AGENT = "agent"

# Use both disks and the network each second, so that the counters grow.
INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
for module in {modules}; do $b insmod /modules/$module.ko; done
$b ifconfig eth0 192.0.2.2 up
case "$($b cat /proc/cmdline)" in *agent*)
  $b ifconfig lo 127.0.0.1 up; $b hostname agent-1
  $b mount -t ext4 /dev/vda /mnt
  for port in /sys/class/virtio-ports/*; do
    device=/dev/${{port##*/}}
    case "$($b cat $port/name)" in
      org.qemu.guest_agent.0)
        while true; do /bin/qemu-ga -m virtio-serial -p $device -t /run; done & ;;
      control)
        while true; do if read -r line; then eval "$line"; else $b sleep 0.1; fi; done <$device & ;;
    esac
  done
  wait
esac
while true; do
  $b dd if=/dev/vda of=/dev/null bs=64k count=16
  for disk in vda vdb; do $b dd if=/dev/zero of=/dev/$disk bs=4k count=16 conv=fsync; done
  $b ping -c 1 -W 1 192.0.2.1 || $b sleep 1
done >/dev/null 2>&1
"""


def kernel_and_initrd(init: str = INIT, more_modules: Sequence[str] = ()) -> tuple[Path, bytes]:
    """The path of a kernel image, and an initrd with a busybox, the guest agent, modules, and an
    `init` that loads the `{modules}`; raise Missing if there is no kernel that has them."""
    files = {"bin/busybox": static_busybox(), **_agent_files()}
    # Lazy: download only if no installed kernel is suitable.
    for kernel, modules in kernels():
        try:
            loaded = modules_in_order(modules, (*MODULES, *more_modules))
        except Missing:
            continue
        files.update({f"modules/{name}.ko": content for name, content in loaded.items()})
        files["init"] = init.format(modules=" ".join(loaded)).encode()
        return kernel, _archive(files)
    raise Missing(f"a Linux kernel for the booting guest (Debian package {METAPACKAGE})")


def _archive(files: Mapping[str, bytes]) -> bytes:
    """A gzipped cpio archive of programs, and the folders that an init needs."""
    folders = {"dev", "mnt", "proc", "root", "run", "sys"}
    for name in files:
        folders.update(str(parent) for parent in Path(name).parents if parent.name)
    entries = [_entry(folder, 0o40755) for folder in sorted(folders)]
    entries += [_entry(name, 0o100755, content) for name, content in files.items()]
    return gzip.compress(b"".join(entries) + _entry("TRAILER!!!", 0), compresslevel=1)


def static_busybox() -> bytes:
    path = shutil.which("busybox")
    program = Path(path).read_bytes() if path else b""
    if b"/ld-linux" in program[:4096] or not program:  # the guest has no dynamic loader
        raise Missing("a statically linked busybox (Debian package busybox-static)")
    return program


def kernels() -> Iterator[tuple[Path, Path]]:
    """Kernel images with their module folders; installed ones first."""
    yield from _kernels_under(Path("/"))
    yield from _kernels_under(_unpacked())


def _kernels_under(root: Path) -> Iterator[tuple[Path, Path]]:
    for kernel in sorted((root / "boot").glob("vmlinuz-*"), reverse=True):
        version = kernel.name[len("vmlinuz-") :]
        for modules in (root / "lib/modules" / version, root / "usr/lib/modules" / version):
            if os.access(kernel, os.R_OK) and (modules / "kernel").is_dir():
                yield kernel, modules
                break
    # Newer packages have the image beside the modules.
    for kernel in root.glob("usr/lib/modules/*/vmlinuz"):
        if os.access(kernel, os.R_OK):
            yield kernel, kernel.parent


def _unpacked() -> Path:
    """Debian's cloud kernel and guest agent, which the first process of the tests that needs them
    unpacks into the cache, completely or not at all."""
    for tool, package in (("apt-get", "apt"), ("apt-cache", "apt"), ("dpkg", "dpkg")):
        needed(tool, package)
    CACHE.parent.mkdir(exist_ok=True)
    (CACHE.parent / ".gitignore").write_text("*\n")
    with (CACHE.parent / ".lock").open("w") as lock, TemporaryDirectory(dir=CACHE.parent) as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not CACHE.exists():
            try:
                download = ("apt-get", "download", "-qq", *_real_packages(), AGENT_PACKAGE)
                finish(*download, cwd=folder, timeout=600)
                for archive in Path(folder).glob("*.deb"):
                    finish("dpkg", "-x", archive, "unpacked", cwd=folder)
            except (OSError, ProcessError, subprocess.TimeoutExpired) as error:
                packages = f"{METAPACKAGE} and {AGENT_PACKAGE}"
                raise Missing(f"Debian packages {packages}: {error}") from error
            Path(folder, "unpacked").rename(CACHE)
    return CACHE


def _real_packages() -> list[str]:
    """The packages with the image and its modules, on which the metapackage depends."""
    depends = ("apt-cache", "depends", "--recurse", "--important", METAPACKAGE)
    listed = subprocess.run(depends, capture_output=True, text=True, check=False).stdout
    if not listed:
        raise ProcessError("the package manager does not know them (apt-get update may help)")
    names = re.compile(r"^linux-(?:base|binary|image|modules)-[0-9]\S*$", re.MULTILINE)
    return names.findall(listed)


def agent_program() -> Path:
    """The path of QEMU's guest agent; raise Missing if there is none."""
    installed = shutil.which("qemu-ga", path=PATH)
    return Path(installed) if installed else _unpacked() / "usr/sbin/qemu-ga"


def _agent_files() -> dict[str, bytes]:
    """The guest agent with its libraries, and what it reports; nothing if it is missing."""
    try:
        program = agent_program()
    except Missing:
        return {}
    files = {"bin/qemu-ga": program.read_bytes()}
    for path in libraries(program):
        files[str(path).lstrip("/")] = path.read_bytes()
    files["etc/os-release"] = b'ID=tiny\nNAME="Tiny Linux"\nVERSION_ID="1"\n'
    # A utmp record of a user who is logged in: type, pid, line, id, user, host, and the rest.
    user = struct.pack("<hxxi32s4s32s256s52x", 7, 1, b"tty1", b"1", b"alice", b"")
    files["var/run/utmp"] = user
    return files


def libraries(*programs: Path) -> set[Path]:
    """The libraries that the programs load, by the paths at which they are found."""
    listed = "".join(finish("ldd", program) for program in programs)
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", listed)}


def _entry(name: str, mode: int, content: bytes = b"") -> bytes:
    """One file of a cpio archive in the "newc" format, which the kernel unpacks."""
    links, name_size = 1, len(name) + 1
    numbers = (0, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, name_size, 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)


def modules_in_order(modules: Path, names: Sequence[str]) -> dict[str, bytes]:
    """These modules, each after its dependencies."""
    files = {_module_name(path): path for path in (modules / "kernel").rglob("*.ko*")}
    built_in = {_module_name(Path(line)) for line in _lines(modules / "modules.builtin")}
    loaded: dict[str, bytes] = {}

    def load(name: str) -> None:
        if name in loaded or name in built_in:
            return
        path = files.get(name)
        if path is None or path.suffix not in (".ko", ".xz"):
            raise Missing(f"module {name} of the kernel in {modules}, plain or xz-compressed")
        content = path.read_bytes()
        content = lzma.decompress(content) if path.suffix == ".xz" else content
        # modules.dep is created at installation only, but a module lists its dependencies.
        depends = re.search(rb"\0depends=([^\0]*)\0", content)
        for other in depends[1].decode().split(",") if depends and depends[1] else ():
            load(other.replace("-", "_"))
        loaded[name] = content

    for name in names:
        load(name)
    return loaded


def _module_name(path: Path) -> str:
    return path.name.split(".", 1)[0].replace("-", "_")


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
