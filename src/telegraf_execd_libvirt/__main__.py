"""``python -m telegraf_execd_libvirt`` is the command ``telegraf-execd-libvirt``."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
