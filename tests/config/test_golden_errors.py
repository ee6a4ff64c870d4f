"""Golden cases of wrong configurations: each folder of golden_errors/ has one and its errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from telegraf_execd_libvirt.config.config import ConfigError, load

CASES = sorted((Path(__file__).parent / "golden_errors").iterdir())

ENVIRONMENT = {"RACK": "r 12", "EMPTY": ""}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_configuration_gives_expected_errors(case: Path, monkeypatch: Any) -> None:
    """A wrong configuration gives all expected errors at once."""
    monkeypatch.chdir(case)
    with pytest.raises(ConfigError) as caught:
        load(Path("plugin.conf"), ENVIRONMENT)
    assert "\n".join(caught.value.problems) + "\n" == (case / "expected.txt").read_text("utf-8")
