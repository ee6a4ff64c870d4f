"""A wrong configuration ends the program at the start, with one line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.host import Config, Start
from support.plugin import (
    TEST_DRIVER,
    Stream,
    eventually,
    rejected,
    run,
    small_pipe,
    waiting_bytes,
)

pytestmark = pytest.mark.thorough

MISTAKES = {
    "agent": "unknown; only [[inputs.libvirt]] tables belong in this file",
    "inputs.libvirt[0].libvirt_uri": "expected a string, got 7",
    "inputs.libvirt[1].timeout": "expected a duration",
    "inputs.libvirt[1].tags.rack": "expected a string, got 12",
}


@pytest.mark.smoke
def test_all_mistakes_are_reported_in_one_go(tmp_path: Path) -> None:
    """Each mistake is one line with the file and the option; nothing is collected."""
    path = tmp_path / "plugin.conf"
    path.write_text(
        '[agent]\ninterval = "10s"\n[[inputs.libvirt]]\nlibvirt_uri = 7\n'
        "[[inputs.libvirt]]\ntimeout = 5\n[inputs.libvirt.tags]\nrack = 12\n"
    )
    done = run("--config", path)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert len(lines) == len(MISTAKES)
    for place, text in MISTAKES.items():
        assert any(line.startswith(f"E! {path}: {place}: {text}") for line in lines), place


def test_no_mistake_is_lost(start: Start, tmp_path: Path) -> None:
    """More mistakes than the log keeps waiting are reported, each of them, also to a reader that
    begins late."""
    path = tmp_path / "plugin.conf"
    path.write_text("".join(f"[x{number}]\n" for number in range(1_200)))
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
    assert names == [f"x{number}" for number in range(1_200)]


def test_a_hostile_file(tmp_path: Path) -> None:
    """A hostile file gives one bounded line; usual mistakes are in tests/config."""
    table = b"[[inputs.libvirt]]\n"
    cases = (
        (b"x = " + b"[" * 5_000 + b"]" * 5_000, "not valid TOML: "),
        (table + b"timeout = " + b"9" * 5_000, ""),
        (table + b'"a\\n\\u001b b" = 1\n', 'inputs.libvirt[0]."a'),
        (table + b'libvirt_uri = "' + b"x" * 99_999 + b'/"\n', "inputs.libvirt[0]."),
    )
    paths = [tmp_path / f"{number}.conf" for number in range(len(cases))]
    for path, (content, _) in zip(paths, cases):
        path.write_bytes(content)
    texts = rejected(*(("--config", path) for path in paths))
    for path, (_, message), text in zip(paths, cases, texts):
        assert text.startswith(f"E! {path}: {message}") and len(text) < 4000
        assert text.endswith("\n") and text[:-1].isprintable()


def test_a_configuration_from_a_program(config: Config) -> None:
    """`<(COMMAND)` of a shell works, also if the command takes its time."""
    command = f'exec "$@" --config <(sleep 0.3; cat {config(f"libvirt_uri = {TEST_DRIVER!r}")})'
    done = run("--once", prefix=("bash", "-c", command, "bash"))
    assert (done.returncode, done.stdout[:14]) == (0, "libvirt_state,")
