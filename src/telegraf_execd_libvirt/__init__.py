"""External Telegraf input plugin for libvirt: statistics of virtual machines as metrics."""

__version__ = "0.1.0"
