"""A package, so that its far hosts end with its last test."""
