"""The command line accepts Python's and Telegraf's spelling, and rejects everything else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.host import Config, Start
from support.plugin import (
    LINE,
    TEST_DRIVER,
    in_front_of,
    rejected,
    run,
    small_pipe,
)
from telegraf_execd_libvirt.program import cli

pytestmark = pytest.mark.thorough


@pytest.mark.smoke
def test_the_version_and_the_help() -> None:
    """--version prints the versions of the program and of libvirt, --help lists the options."""
    version, text = run("--version"), run("--help")
    assert (version.returncode, version.stderr) == (text.returncode, text.stderr) == (0, "")
    number = r"\d+\.\d+\.\d+"
    pattern = rf"telegraf-execd-libvirt {number}\S* \(libvirt {number}\)\n"
    assert re.fullmatch(pattern, version.stdout)
    for option in ("--config FILE", "--once", "--poll-interval", "--uri", "--check"):
        assert option in text.stdout


def test_the_sample(tmp_path: Path) -> None:
    """The output of --sample-config is a valid configuration. Its comments are tested in
    tests/documents."""
    sample = run("--sample-config")
    assert (sample.returncode, sample.stderr) == (0, "")
    path = tmp_path / "plugin.conf"
    path.write_text(sample.stdout)
    done = run("--once", "--config", path, "--uri", TEST_DRIVER)
    assert done.returncode == 0
    assert all(LINE.fullmatch(line) for line in done.stdout.splitlines())
    assert done.stdout.startswith("libvirt_state,domain_name=test ")


def test_spellings(start: Start, config: Config) -> None:
    """--config and --poll-interval work in the spelling of Python, of Go and of Telegraf's shim."""
    path = config(f'libvirt_uri = "{TEST_DRIVER}"\n[inputs.libvirt.tags]\nrack = "r 1"')
    plugin = start("-config", path, "-poll_interval=100ms")
    (line, *_) = plugin.wait_for_states(1)
    assert line.startswith("libvirt_state,domain_name=test,rack=r\\ 1 state=1i,reason=0i ")
    assert plugin.finish() == 0
    parse = cli._parser().parse_args
    for option in ("--config", "-config"):
        assert parse([option, "a"]).config == parse([f"{option}=a"]).config == Path("a")
    for option in ("--poll-interval", "--poll_interval", "-poll_interval"):
        found = [parse(words).poll_interval for words in ([option, "1s"], [f"{option}=1s"])]
        assert found == [1_000_000_000] * 2


def test_the_option_uri(config: Config) -> None:
    """--uri overrides only the URI of the file."""
    path = config('libvirt_uri = "qemu+unix:///system?socket=/no"\n[inputs.libvirt.tags]\na = "b"')
    done = run("--once", "--config", path, "--uri", TEST_DRIVER)
    assert done.returncode == 0
    assert done.stdout.startswith("libvirt_state,a=b,domain_name=test ")


def test_wrong_command_lines(config: Config) -> None:
    """A wrong command line gives status 2 and one line."""
    path = config(f'libvirt_uri = "{TEST_DRIVER}"', f'libvirt_uri = "{TEST_DRIVER}"')
    cases = {
        ("--nonsense",): "--nonsense",
        ("surplus",): "surplus",
        ("--config",): "--config",
        ("--config", ""): "expected the name of a file, got ''",
        ("--uri",): "--uri",
        ("--poll-interval",): "--poll-interval",
        ("--poll-interval", "10"): "'10'",
        ("--poll-interval", "0s"): "'0s'",
        ("--poll-interval", "-1s"): "--poll-interval",
        ("--poll-interval", "soon"): "'soon'",
        ("-poll_interval", "1000000000h"): "'1000000000h'",
        ("--log-level", "loud"): "'loud'",
        ("--once=yes",): "'yes'",
        ("--onc", "--uri", TEST_DRIVER): "--onc",
        ("two\nlines",): r"two\nlines",
        ("--uri", "no_such_alias"): "--uri: ",
        ("--uri", "qemu/system"): "--uri: ",
        ("--once", "esx://jroe:pazz wurd@host/"): "esx://",
        ("--poll-interval", "esx://jroe:pazz wurd@host/"): "esx://",
        ("--uri", "jroe:pazz wurd@host"): "--uri: ",
        ("--uri=jroe wurd://pazz@host",): "--uri: ",
        ("--log-level", "x" * 100_000): "xxx",
        ("--strict", "--uri", TEST_DRIVER): "--strict needs --check",
        # It could mean any of the tables.
        ("--once", "--config", str(path), "--uri", TEST_DRIVER): "2 tables",
    }
    for (command, reason), text in zip(cases.items(), rejected(*cases)):
        assert re.fullmatch(r"E! \S.{,4000}\n", text) and reason in text, command
        assert not re.search("jroe|pazz|wurd", text)


@pytest.mark.parametrize("option", ["--once", "--version", "--check"])
def test_output_that_nobody_reads(option: str) -> None:
    """A closed pipe, as by `| head -0`, causes no message."""
    reader, writer = small_pipe()
    reader.close()
    with writer:
        done = run(option, "--uri", TEST_DRIVER, stdout=writer)
    assert done.stderr == ""


def test_a_library_that_is_missing(tmp_path: Path) -> None:
    """If libvirt cannot be loaded, the program says so in one line, with status 2."""
    text = "libvirt.so.0: cannot open shared object file: No such file or directory"
    env = in_front_of("libvirt", tmp_path, f"raise ImportError({text!r})")
    for option in ("--once", "--version"):
        done = run(option, env=env)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"E! libvirt-python cannot be loaded: {text}\n"
    assert run("--sample-config", env=env).returncode == 0
