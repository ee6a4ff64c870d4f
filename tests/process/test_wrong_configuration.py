"""A wrong configuration ends the program at the start, with one line for each mistake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.host import Config, Start
from support.plugin import (
    TEST_DRIVER,
    Stream,
    eventually,
    run,
    small_pipe,
    waiting_bytes,
)

MISTAKES = {
    "agent": "unknown; only [[inputs.libvirt]] tables belong in this file",
    "inputs.libvirt[0].libvirt_uri": "expected a string, got 7",
    "inputs.libvirt[1].timeout": "expected a duration",
    "inputs.libvirt[1].tags.rack": "expected a string, got 12",
}


@pytest.mark.smoke
@pytest.mark.parametrize("option", [[], ["--once"], ["--check"]])
def test_all_mistakes_are_reported_in_one_go(tmp_path: Path, option: list[str]) -> None:
    """Each mistake is one line with the file and the option; nothing is collected."""
    path = tmp_path / "plugin.conf"
    path.write_text(
        '[agent]\ninterval = "10s"\n[[inputs.libvirt]]\nlibvirt_uri = 7\n'
        "[[inputs.libvirt]]\ntimeout = 5\n[inputs.libvirt.tags]\nrack = 12\n"
    )
    done = run(*option, "--config", path)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert len(lines) == len(MISTAKES)
    for place, text in MISTAKES.items():
        assert any(line.startswith(f"E! {path}: {place}: {text}") for line in lines), place


def test_no_mistake_is_lost(start: Start, tmp_path: Path) -> None:
    """More mistakes than the log keeps waiting are reported, each of them, also to a reader that
    begins late."""
    path = tmp_path / "plugin.conf"
    path.write_text("".join(f"[x{number}]\n" for number in range(3_000)))
    reader, writer = small_pipe()
    plugin = start("--config", path, stderr=writer)
    writer.close()

    def waits() -> bool:
        state = plugin.proc("stat").read_text().rpartition(")")[2].split()[0]
        return state == "S" and waiting_bytes(reader.fileno()) > 3_000

    assert eventually(waits)
    log = Stream(reader)
    assert plugin.wait() == 2
    log.close()
    names = [line.split(": ")[1] for line in log.lines]
    assert names == [f"x{number}" for number in range(3_000)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"x = " + b"[" * 5_000 + b"]" * 5_000, "not valid TOML: "),
        (b"[[inputs.libvirt]]\ntimeout = " + b"9" * 5_000, ""),
        (b'[[inputs.libvirt]]\n"a\\n\\u001b b" = 1\n', 'inputs.libvirt[0]."a'),
        (b'[[inputs.libvirt]]\nlibvirt_uri = "' + b"x" * 99_999 + b'/"\n', "inputs.libvirt[0]."),
    ],
)
def test_a_hostile_file(tmp_path: Path, text: bytes, message: str) -> None:
    """A hostile file gives one bounded line; usual mistakes are in tests/config."""
    path = tmp_path / "plugin.conf"
    path.write_bytes(text)
    done = run("--once", "--config", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"E! {path}: {message}")
    assert done.stderr.count("\n") == 1 and len(done.stderr) < 4000
    assert done.stderr.rstrip("\n").isprintable()


def test_a_file_without_a_name() -> None:
    """An empty name, such as that of a variable without a value, is no folder."""
    done = run("--config", "")
    assert done.returncode == 2 and "expected the name of a file, got ''" in done.stderr


def test_a_file_that_cannot_be_read(start: Start, tmp_path: Path) -> None:
    """The message about an unreadable file, a FIFO without writer, a device or a file that is too
    large has its path and the reason; the program does not wait for stdin."""
    fifo, large = tmp_path / "fifo", tmp_path / "large"
    os.mkfifo(fifo)
    large.touch()
    os.truncate(large, 1 << 40)
    for path, reason in (
        (tmp_path / "missing.conf", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / ("n" * 300), "File name too long"),
        (fifo, "it is a FIFO that no program writes"),
        (Path("/dev/zero"), "it is not a regular file"),
        (large, "it is larger than 8 MiB"),
    ):
        plugin = start("--config", path)
        assert (plugin.wait(), plugin.metrics.text) == (2, "")
        assert plugin.log.lines == [f"E! {path}: cannot be read: {reason}"]


def test_a_configuration_from_a_program(config: Config) -> None:
    """`<(COMMAND)` of a shell works, also if the command takes its time."""
    command = f'exec "$@" --config <(sleep 0.3; cat {config(f"libvirt_uri = {TEST_DRIVER!r}")})'
    done = run("--once", prefix=("bash", "-c", command, "bash"))
    assert (done.returncode, done.stdout[:14]) == (0, "libvirt_state,")
