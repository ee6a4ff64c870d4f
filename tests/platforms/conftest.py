"""What the tests of platforms share."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.debian import run
from support.documents import ROOT
from support.process import Workspace


@pytest.fixture(scope="session")
def workspace() -> Iterator[Workspace]:
    """The folder of all that these tests make."""
    with Workspace("platforms") as workspace:
        yield workspace


@pytest.fixture(scope="session")
def dist(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with everything that `make dist` builds, once for all processes of the run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "dist"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            script = ROOT / "scripts" / "make_dist.py"
            run(workspace, "make-dist", sys.executable, script, "--output", folder)
    return folder
