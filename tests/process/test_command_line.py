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
    run,
    small_pipe,
)


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
    """The output of --sample-config is a valid configuration, also with all options uncommented."""
    sample = run("--sample-config")
    assert (sample.returncode, sample.stderr) == (0, "")
    path = tmp_path / "plugin.conf"
    path.write_text(sample.stdout)
    done = run("--once", "--config", path, "--uri", TEST_DRIVER)
    assert done.returncode == 0
    assert all(LINE.fullmatch(line) for line in done.stdout.splitlines())
    assert done.stdout.startswith("libvirt_state,domain_name=test ")

    text = sample.stdout.replace("${VARIABLES}", "").replace("qemu:///system", TEST_DRIVER)
    path.write_text(re.sub(r"^( +)# +(?=\S)", r"\1", text, flags=re.MULTILINE))
    assert "\n  [inputs.libvirt.tags]" in path.read_text()
    done = run("--once", "--config", path)
    # The tables of sources are read, and these sources are off.
    others = [line for line in done.stderr.splitlines() if "has no effect" not in line]
    assert (done.returncode, others) == (0, [])
    assert ",rack=r12 " in done.stdout


@pytest.mark.parametrize(
    "spelling", [("--config", "{}"), ("-config", "{}"), ("--config={}",), ("-config={}",)]
)
def test_the_configuration_file(config: Config, spelling: tuple[str, ...]) -> None:
    """--config works in the spelling of Python and of Go."""
    path = config(f'libvirt_uri = "{TEST_DRIVER}"\n[inputs.libvirt.tags]\nrack = "r 1"')
    done = run("--once", *(part.format(path) for part in spelling))
    assert done.returncode == 0
    assert done.stdout.startswith("libvirt_state,domain_name=test,rack=r\\ 1 state=1i,reason=0i ")


@pytest.mark.parametrize(
    "spelling",
    [
        ("-poll_interval", "100ms"),
        ("--poll-interval", "100ms"),
        ("--poll_interval", "100ms"),
        ("-poll_interval=100ms",),
        ("--poll-interval=100ms",),
    ],
)
def test_the_poll_interval(start: Start, spelling: tuple[str, ...]) -> None:
    """--poll-interval works in the spelling of Python and of Telegraf's shim."""
    plugin = start(*spelling, "--uri", TEST_DRIVER)
    plugin.wait_for_states(1)
    assert plugin.finish() == 0


def test_the_option_uri(config: Config) -> None:
    """--uri overrides only the URI of the file. With several tables it is an error, because it
    could mean any of them."""
    path = config('libvirt_uri = "qemu+unix:///system?socket=/no"\n[inputs.libvirt.tags]\na = "b"')
    done = run("--once", "--config", path, "--uri", TEST_DRIVER)
    assert done.returncode == 0
    assert done.stdout.startswith("libvirt_state,a=b,domain_name=test ")
    path = config(f'libvirt_uri = "{TEST_DRIVER}"', f'libvirt_uri = "{TEST_DRIVER}"')
    done = run("--once", "--config", path, "--uri", TEST_DRIVER)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"E! --uri: .*2 tables.*\n", done.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nonsense",),
        ("surplus",),
        ("--config",),
        ("--uri",),
        ("--poll-interval",),
        ("--poll-interval", "10"),
        ("--poll-interval", "0s"),
        ("--poll-interval", "-1s"),
        ("--poll-interval", "soon"),
        ("-poll_interval", "1000000000h"),
        ("--log-level", "loud"),
        ("--once=yes",),
        ("--onc", "--uri", TEST_DRIVER),
        ("two\nlines",),
        ("--uri", "no_such_alias"),
        ("--uri", "qemu/system"),
        ("--once", "esx://jroe:pazz wurd@host/"),
        ("--poll-interval", "esx://jroe:pazz wurd@host/"),
        ("--uri", "jroe:pazz wurd@host"),
        ("--uri=jroe wurd://pazz@host",),
        ("--log-level", "x" * 100_000),
    ],
)
def test_wrong_command_lines(arguments: tuple[str, ...]) -> None:
    """A wrong command line gives status 2 and one line."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"E! \S.{,4000}\n", done.stderr)
    assert not re.search("jroe|pazz|wurd", done.stderr)


@pytest.mark.parametrize("option", ["--once", "--version", "--sample-config", "--check", "--help"])
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
    for option in ("--once", "--check", "--version"):
        done = run(option, env=env)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"E! libvirt-python cannot be loaded: {text}\n"
    assert run("--sample-config", env=env).returncode == 0
