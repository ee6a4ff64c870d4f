"""A package, so that its databases end with its last test."""
