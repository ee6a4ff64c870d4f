"""The source of statistics: one hypervisor, its connection, and the calls that may hang."""
