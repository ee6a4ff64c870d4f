"""The program: its command line, its ticks, its output, and the summaries of a tick."""
