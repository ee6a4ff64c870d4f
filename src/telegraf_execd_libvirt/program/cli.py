"""Command line: parse the arguments, load the configuration, run the requested action.

Invariant: no connection is made before command line and configuration are checked. What is wrong in
them is one line per error, and exit status 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, NoReturn, Optional

from .. import __version__, log
from ..config.config import Config, ConfigError, load
from ..config.file import sample_config
from ..config.options import uri as read_uri
from ..config.values import Problems, parse_duration
from ..connection import conceal
from ..connection.ssh import remove_all
from ..connection.undo import changes
from ..log import log as logger
from .children import Children
from .output import Closed, Output, divert
from .signals import Signals

_NAME = "telegraf-execd-libvirt"

#: Ends processes and removes folders that connection attempts left, and waits for the log.
CleanUp = Callable[[], None]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        for argument in sys.argv:
            if "://" in argument:
                conceal.hide(argument)
        message = log.one_line(conceal.conceal(message))
        try:
            Output(2).write(f"E! {message} (see {_NAME} --help)\n".encode())
        except (Closed, OSError):
            pass  # stderr is closed
        sys.exit(2)

    def format_help(self) -> str:
        self.formatter_class = argparse.HelpFormatter  # as wide as the terminal
        return super().format_help()

    def _print_message(self, message: str, file: Any = None) -> None:
        _print(message)


def _duration(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, got {text!r}") from None


def _file(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("expected the name of a file, got ''")
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_NAME,
        allow_abbrev=False,
        # Without a width argparse loads modules of 1 MiB for each option.
        formatter_class=partial(argparse.HelpFormatter, width=78),
        description="Write the statistics of libvirt domains as InfluxDB line protocol. Each "
        "newline on stdin, SIGHUP, SIGUSR1 or SIGUSR2 requests one collection; the end of stdin "
        "ends the program, unless it collects by the clock and stdin is closed from the start. "
        "Made for Telegraf's inputs.execd.",
    )
    add = parser.add_argument
    add(
        "--config",
        "-config",
        metavar="FILE",
        type=_file,
        help="TOML configuration file; without it the defaults apply",
    )
    add("--once", action="store_true", help="collect once and exit; status 1 on failure")
    add(
        "--poll-interval",
        "-poll_interval",
        "--poll_interval",
        metavar="DURATION",
        type=_duration,
        help="collect every DURATION, such as 10s, aligned to the clock; overrides `interval`",
    )
    add("--uri", metavar="URI", help="libvirt URI; overrides `libvirt_uri`")
    add("--sample-config", action="store_true", help="print a commented configuration and exit")
    add("--check", action="store_true", help="test the configuration and suggest fixes")
    add(
        "--strict",
        action="store_true",
        help="with --check: exit with status 3 if anything that is configured does not work",
    )
    add(
        "--log-level",
        choices=log.LEVELS,
        help="lowest level of messages; default: info, with --once warn",
    )
    add("--version", action="store_true", help="print the versions and exit")
    return parser


def main(
    arguments: Optional[Sequence[str]] = None,
    signals: Optional[Signals] = None,
    stdout_is_open: bool = True,
) -> int:
    """Run the command and return its exit status; a collection ends the process itself.

    ``signals`` has recorded signals since the start; without it, recording begins with the
    collection.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.strict and not options.check:
        parser.error("--strict needs --check")
    log.start(options.log_level or ("warn" if options.once else "info"))
    clean_up = partial(_clean_up, Children())
    try:
        if options.sample_config:
            return _print(sample_config())
        if options.version:
            from ..connection.client import library_version

            return _print(f"{_NAME} {__version__} (libvirt {library_version()})\n")
        if not stdout_is_open:
            return 0  # nothing can receive metrics
        config = _load(options)
        if config is None:
            return 2
        if options.check and signals is not None:
            signals.leave(clean_up)  # there is no work to finish
        if options.check:
            _check(config, clean_up, options.strict)
        _collect(config, options, signals or Signals(), clean_up)
    except ImportError as error:
        logger.error("libvirt-python cannot be loaded: %s", error)
        return 2
    except Exception:  # last resort: a bug becomes one log line
        logger.exception("internal error, the program ends")
        clean_up()
        return 1
    finally:
        log.flush()


def _print(text: str) -> int:
    """Write a text to stdout and return the exit status."""
    try:
        Output(1).write(text.encode())
    except Closed:
        pass  # the reader has closed stdout
    except OSError as error:
        logger.error("cannot write stdout: %s", error.strerror)
        return 1
    return 0


def _collect(
    config: Config, options: argparse.Namespace, signals: Signals, clean_up: CleanUp
) -> NoReturn:
    from ..connection import descriptors
    from ..connection.client import client_log
    from .loop import Loop

    signals.hold()
    descriptors.raise_limit()
    output = Output(os.dup(1))
    divert(1, 2, claim=client_log.start())
    loop = Loop(config.hypervisors, output, signals, options.poll_interval)
    if not options.once and os.isatty(0):
        logger.info("Enter collects, Ctrl-D ends")
    try:
        status = loop.once() if options.once else loop.run(0)
    finally:
        output.finish()
    loop.close()
    _leave(status, clean_up)


def _check(config: Config, clean_up: CleanUp, strict: bool) -> NoReturn:
    from ..connection import descriptors
    from ..connection.client import client_log
    from .check import check

    descriptors.raise_limit()
    divert(2, claim=client_log.start())
    lines, status = check(config.hypervisors, strict)
    _leave(_print("".join(f"{line}\n" for line in lines)) or status, clean_up)


def _load(options: argparse.Namespace) -> Optional[Config]:
    """Return the configuration, or None; log its errors and warnings."""
    problems = Problems()
    try:
        config = load(options.config, os.environ) if options.config else Config()
    except ConfigError as error:
        problems.errors = error.problems
    else:
        if options.uri is not None:
            uri = read_uri(options.uri, "--uri", problems)
            if (count := len(config.hypervisors)) > 1:
                text = f"applies to one table, but {options.config} has {count} tables"
                problems.add("--uri", text)
            config = replace(config, hypervisors=(replace(config.hypervisors[0], libvirt_uri=uri),))
    _log_all(logger.error, problems.errors)
    if problems.errors:
        return None
    _log_all(logger.warning, config.warnings)
    return config


def _log_all(write: Callable[[str, str], None], texts: Sequence[str]) -> None:
    """Log these texts, also if they are more than the log keeps waiting."""
    for count, text in enumerate(texts, start=1):
        write("%s", text)
        if count % 500 == 0:
            log.flush(5.0)


def _clean_up(children: Children) -> None:
    """What the end of the process needs: hung attempts leave processes and folders."""
    changes.end()  # before the ssh that carries the calls ends
    children.end()
    remove_all()
    log.flush()


def _leave(status: int, clean_up: CleanUp) -> NoReturn:
    """End the process without waiting for hung calls."""
    try:
        clean_up()
    finally:
        os._exit(status)
