"""A real hypervisor for the tests: libvirtd in session mode, and emulated QEMU guests.

The rule: it touches nothing outside its folder, and nothing of it outlives the tests. Daemon and
guests run unprivileged (as `nobody` if the tests run as root). Their sockets, configuration and
disks are in one temporary folder. The tests connect to no other hypervisor.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape

from support.guest_kernel import kernel_and_initrd
from support.missing import Missing, needed
from support.process import (
    PATH,
    Closing,
    ProcessError,
    Workspace,
    listens_at,
    living,
    send,
    tap_name,
    wait_for,
)

LINUX = "linux"
"""The guest that boots Linux and has everything that libvirt reports without KVM."""

OFF = "off"
"""The guest that is shut off."""

ODD = 'odd name,=é"\\'
"""A running guest whose name has characters that line protocol and shells escape."""

PAUSED, SHUT_OFF = "3", "5"
"""Values of state.state in domstats."""

PLUGGED = "vdz"
"""The target of a disk that is plugged into a running guest."""

STAND_IN = "nobody"
PACKAGES = {
    "libvirtd": "libvirt-daemon",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "setpriv": "util-linux",
}

# Use no virtlogd, D-Bus, cgroups or security modules: they belong to the machine.
# Compression makes a save slow enough to be seen.
QEMU_CONF = """\
save_image_format = "gzip"
stdio_handler = "file"
security_driver = "none"
cgroup_controllers = []
namespaces = []
"""

NOVA = """\
<metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
<nova:name>web-1</nova:name>
<nova:flavor name="m1.tiny"><nova:memory>192</nova:memory></nova:flavor>
<nova:owner>
<nova:user uuid="u-1">monitoring</nova:user><nova:project uuid="p-1">demo</nova:project>
</nova:owner>
</nova:instance></metadata>"""


class HypervisorError(ProcessError):
    """The hypervisor failed; the message is its own."""


class Hypervisor(Closing):
    """The daemon and its guests, from `start()` to `close()`, or within a `with` block.

    `uri` is for libvirt's clients, also read-only: a session daemon has one `socket` for both.
    `guests` maps the names of the initial guests to their definitions.
    `tap` is the name of LINUX's network interface, or None if the tests may not create one.
    `has_mounts` is true if the daemon has its own mounts.
    """

    def __init__(self, idle_guests: int = 3, linux: bool = True) -> None:
        """Without `linux` there are only cheap guests, with firmware but nothing to boot."""
        for program, package in PACKAGES.items():
            needed(program, package, PATH)
        kernel = kernel_and_initrd() if linux else None

        self._workspace = Workspace("hv")
        self.folder = self._workspace.folder
        self.socket = self.folder / "run/libvirt/libvirt-sock"
        self.uri = f"qemu+unix:///session?socket={self.socket}"
        self.tap: str | None = None
        self.has_mounts = False
        self.guests: dict[str, str] = {}
        self._daemon: subprocess.Popen[bytes] | None = None
        self._log = self._workspace.log("libvirtd")
        self._disks = 0
        self._user = pwd.getpwnam(STAND_IN) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self._wrapper = self._unprivileged() if os.geteuid() == 0 else []

        for name in ("config/libvirt", "cache", "run"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "config/libvirt/qemu.conf").write_text(QEMU_CONF)
        if kernel:
            shutil.copyfile(kernel[0], self.folder / "kernel")
            (self.folder / "initrd").write_bytes(kernel[1])
            self.guests[LINUX] = self._linux_definition()
        for name in [f"idle{number}" for number in range(1, idle_guests + 1)] + [ODD, OFF]:
            self.guests[name] = self._cheap_definition(name)
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def start(self) -> None:
        """Start the daemon and all guests except OFF; wait_until_booted() waits for LINUX."""
        self.start_daemon()
        self._put_guests_in_place()
        # libvirtd probes every emulator at the first such request. Wait for that here.
        self.virsh("version")

    def close(self) -> None:
        """Take everything away, in any state; may be called again."""
        self._workspace.close()

    def heal(self) -> None:
        """Restore daemon and guests to their state after start(), whatever a test did."""
        # The guests first: a starting daemon waits for the guests it finds.
        send(signal.SIGCONT, living(self.folder))
        self.start_daemon()
        wait_for(self._daemon_knows, 60.0, "libvirtd to notice that guests ended", self._log)
        self._put_guests_in_place()
        if LINUX in self.guests:
            if f"'{PLUGGED}'" in self.virsh("dumpxml", LINUX):
                self.virsh("detach-disk", LINUX, PLUGGED, "--live")
            self.wait_until_booted()

    # Queries

    def virsh(self, *arguments: str, stdin: str = "", timeout: float = 60.0) -> str:
        """Run a virsh command; raise HypervisorError or subprocess.TimeoutExpired."""
        done = subprocess.run(
            ["virsh", "-q", "-c", self.uri, *arguments],
            input=stdin,
            timeout=timeout,
            env=self._environment(),
            capture_output=True,
            encoding="utf-8",
        )
        if done.returncode:
            raise HypervisorError(f"virsh {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def domstats(self, domain: str | None = None, *options: str) -> dict[str, dict[str, str]]:
        """Statistics by domain and key, of one domain or all; options are virsh's."""
        output = self.virsh("domstats", "--raw", *options, *([domain] if domain else []))
        stats: dict[str, dict[str, str]] = {}
        for line in output.split("\n"):
            if line.startswith("Domain: '"):
                current = stats.setdefault(line[len("Domain: '") : -1], {})
            elif line.startswith("  "):
                key, _, value = line.strip().partition("=")
                current[key] = value
        return stats

    def wait_until_booted(self) -> None:
        """Wait until LINUX's balloon driver reports memory statistics."""

        def reports() -> bool:
            stats = self.domstats(LINUX, "--state", "--balloon")[LINUX]
            if stats["state.state"] == SHUT_OFF:
                # QEMU 7.2 crashes in one of several hundred boots with two emulated CPUs.
                self.start_guest(LINUX)
            return int(stats.get("balloon.last-update", 0)) > 0

        wait_for(reports, 90.0, f"{LINUX} to boot", self.folder / "console.log")

    # Guests

    def define(self, name: str) -> None:
        """Define another cheap guest, shut off: firmware only, 32 MiB, one empty disk."""
        self.define_xml(self._cheap_definition(name))

    def define_program(
        self, name: str, program: bytes, devices: str = "", machine: str = "q35"
    ) -> None:
        """Define a cheap guest whose firmware starts 16-bit code; it stays after a panic."""
        disk = self._empty_disk(8)
        with disk.open("r+b") as file:
            file.write(program.ljust(510, b"\0") + b"\x55\xaa")
        about = "<on_crash>preserve</on_crash>"
        devices = _disk("vda", "raw", disk) + devices
        self.define_xml(_definition(name, 32, devices, about=about, machine=machine))

    def define_with(self, name: str, devices: str) -> None:
        """Define a cheap guest with these devices and no disk."""
        self.define_xml(_definition(name, 32, devices))

    def define_linux(self, name: str, devices: str, arguments: str = "") -> None:
        """Define another guest that boots Linux, with these devices and kernel arguments."""
        self.define_xml(_definition(name, 128, devices, boot=self._linux(arguments)))

    def define_xml(self, definition: str) -> None:
        """Define a guest."""
        self.virsh("define", "/dev/stdin", stdin=definition)

    def undefine(self, name: str) -> None:
        """Stop a guest if it runs, and undefine it."""
        if self._states()[name] != SHUT_OFF:
            self.stop_guest(name)
        self.virsh("undefine", name)

    def start_guest(self, name: str) -> None:
        """Start a guest."""
        self.virsh("start", name)

    def stop_guest(self, name: str) -> None:
        """Turn off a guest, even if its process is paused."""
        self.resume_process(name)  # Otherwise libvirt waits 15 s before it sends SIGKILL
        self.virsh("destroy", name)

    def plug_disk(self, name: str, *options: str) -> str:
        """Plug one more disk into a running guest, until it is healed; return its target."""
        disk = self._empty_disk(1)
        self.virsh("attach-disk", name, str(disk), PLUGGED, "--live", *options)
        return PLUGGED

    def guest_pid(self, name: str) -> int:
        """The pid of the guest's QEMU, from libvirt's record: works without the daemon."""
        path = self.folder / "run/libvirt/qemu/run" / f"{name}.xml"
        try:
            return int(ET.parse(path).getroot().attrib["pid"])
        except FileNotFoundError:
            raise HypervisorError(f"{name!r} is not running") from None

    def pause_process(self, name: str) -> None:
        """Stop the guest's QEMU, so that it no longer answers libvirt."""
        _stop(self.guest_pid(name))

    def resume_process(self, name: str) -> None:
        """Continue the guest's QEMU."""
        os.kill(self.guest_pid(name), signal.SIGCONT)

    def own_folder(self, name: str) -> Path:
        """A folder that the daemon and its guests may write to."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        os.chown(path, self._user.pw_uid, self._user.pw_gid)
        return path

    # The daemon

    @property
    def daemon_pid(self) -> int:
        """The pid of libvirtd, even if it was killed."""
        if not self._daemon:
            raise HypervisorError("the daemon was never started")
        return self._daemon.pid

    def start_daemon(self) -> None:
        """Start libvirtd unless it runs, and wait until it answers. It finds running guests."""
        if self._daemon and self._daemon.poll() is None:
            return
        pid_file = self.folder / "run/libvirtd.pid"
        self._daemon = self._workspace.run(
            "libvirtd",
            [*self._wrapper, "libvirtd", "--pid-file", str(pid_file)],
            self._environment(),
        )
        there = partial(listens_at, self.socket)
        wait_for(there, 60.0, "libvirtd to listen", self._log, self._daemon)
        try:
            self.virsh("list")  # answered once all drivers are ready
        except HypervisorError as error:
            if "no connection driver" in str(error):
                package = "libvirt-daemon-driver-qemu"
                raise Missing(f"libvirt's QEMU driver (Debian package {package})") from error
            raise

    def stop_daemon(self) -> None:
        """Stop libvirtd: its socket still accepts connections, but nothing is answered."""
        _stop(self.daemon_pid)

    def continue_daemon(self) -> None:
        """Continue libvirtd."""
        os.kill(self.daemon_pid, signal.SIGCONT)

    def kill_daemon(self) -> None:
        """Kill libvirtd; its guests keep running."""
        os.kill(self.daemon_pid, signal.SIGKILL)
        if self._daemon:
            self._daemon.wait()

    # Internals

    def _environment(self) -> dict[str, str]:
        folders = {"HOME": "", "XDG_CONFIG_HOME": "config", "XDG_CACHE_HOME": "cache"}
        folders |= {"XDG_RUNTIME_DIR": "run", "XDG_DATA_HOME": "data", "XDG_STATE_HOME": "state"}
        return {
            **{variable: str(self.folder / name) for variable, name in folders.items()},
            "PATH": f"{self.folder}/bin:{PATH}",
            "LC_ALL": "C.UTF-8",  # libvirt needs it for names that are not ASCII
        }

    def _unprivileged(self) -> list[str]:
        """The command prefix that drops root's privileges.

        If only root can open /dev/net/tun (udev opens it to all), it grants another device node.
        The daemon has its own mounts, which end with it and its guests.
        """
        account = [f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups"]
        wrapper = ["setpriv", *account]
        tun = Path("/dev/net/tun")
        own_mounts = ["unshare", "--mount"]
        self.has_mounts = _works(*own_mounts, "true")
        if tun.exists() and not _works(*wrapper, "test", "-w", str(tun)):
            make = "mount -t tmpfs tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200"
            own_tun = [*own_mounts, "sh", "-c", f'{make} && exec "$@"', "sh"]
            if _works(*own_tun, "true"):
                own_mounts = own_tun
        wrapper = own_mounts + wrapper if self.has_mounts else wrapper
        if _works(*wrapper, "test", "-w", str(tun)):
            self.tap = self._make_tap()
        return wrapper

    def _make_tap(self) -> str | None:
        name = tap_name(self.folder)
        owner = str(self._user.pw_uid)
        if not _works("ip", "tuntap", "add", "dev", name, "mode", "tap", "user", owner):
            return None
        return name if _works("ip", "link", "set", name, "up") else None

    def _states(self) -> dict[str, str]:
        # The state group never waits for a guest.
        there = self.domstats(None, "--state", "--nowait")
        return {name: stats["state.state"] for name, stats in there.items()}

    def _daemon_knows(self) -> bool:
        """True if the daemon has as many active guests as QEMUs are alive."""
        active = [name for name, state in self._states().items() if state != SHUT_OFF]
        return len(active) == len(living(self.folder) - {self.daemon_pid})

    def _put_guests_in_place(self) -> None:
        """Define missing guests, restore all states, and undefine other guests."""
        states = self._states()
        for name in states.keys() - self.guests.keys():
            self.undefine(name)
        for name, definition in self.guests.items():
            if name not in states:
                self.define_xml(definition)
            state = states.get(name, SHUT_OFF)
            if name == OFF:
                if state != SHUT_OFF:
                    self.stop_guest(name)
            elif state == SHUT_OFF:
                self.start_guest(name)
            elif state == PAUSED:
                self.virsh("resume", name)

    def _cheap_definition(self, name: str) -> str:
        return _definition(name, 32, _disk("vda", "raw", self._empty_disk(8)))

    def _linux(self, arguments: str = "") -> str:
        return (
            f"<kernel>{self.folder}/kernel</kernel><initrd>{self.folder}/initrd</initrd>"
            f"<cmdline>console=ttyS0 panic=1 {arguments}</cmdline>"
        )

    def _linux_definition(self) -> str:
        overlay = self.folder / "overlay.qcow2"
        base = self._empty_disk(64)
        create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(base)]
        subprocess.run([*create, str(overlay)], env=self._environment(), check=True)
        console = f"<serial type='file'><source path='{self.folder}/console.log'/></serial>"
        interface = f"""<interface type='ethernet'><model type='virtio'/>
<target dev='{self.tap}' managed='no'/></interface>"""
        return _definition(
            LINUX,
            192,
            _disk("vda", "qcow2", overlay)
            + _disk("vdb", "raw", self._empty_disk(16))
            + console
            + (interface if self.tap else ""),
            vcpus=2,
            iothreads=2,
            about=f"<title>Boots Linux</title>{NOVA}",
            boot=self._linux(),
        )

    def _empty_disk(self, mib: int) -> Path:
        self._disks += 1
        path = self.folder / f"disk{self._disks}.raw"
        path.touch()
        os.truncate(path, mib << 20)
        os.chown(path, self._user.pw_uid, self._user.pw_gid)
        return path


def _definition(
    name: str,
    memory_mib: int,
    devices: str,
    vcpus: int = 1,
    iothreads: int = 0,
    about: str = "",
    boot: str = "",
    machine: str = "q35",
) -> str:
    """The XML of an emulated guest: the same with and without KVM."""
    emulator = shutil.which("qemu-system-x86_64", path=PATH)
    return f"""<domain type='qemu'><name>{escape(name)}</name>{about}
<memory unit='MiB'>{memory_mib}</memory><vcpu>{vcpus}</vcpu><iothreads>{iothreads}</iothreads>
<os><type arch='x86_64' machine='{machine}'>hvm</type>{boot}</os><features><acpi/></features>
<devices><emulator>{emulator}</emulator>{devices}
<memballoon model='virtio'><stats period='1'/></memballoon></devices></domain>"""


def _disk(target: str, image_format: str, path: Path) -> str:
    return f"""<disk type='file' device='disk'><driver name='qemu' type='{image_format}'/>
<source file='{path}'/><target dev='{target}' bus='virtio'/></disk>"""


def _works(*command: str) -> bool:
    """True if this command of root's succeeds."""
    try:
        return subprocess.run(command, capture_output=True, env={"PATH": PATH}).returncode == 0
    except FileNotFoundError:
        return False


def _stop(pid: int) -> None:
    """Stop a process, and wait until it is stopped."""
    os.kill(pid, signal.SIGSTOP)
    while Path("/proc", str(pid), "stat").read_text().rpartition(") ")[2][0] not in "TZ":
        time.sleep(0.001)
