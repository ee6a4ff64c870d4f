"""A package, so that its hypervisor ends with its last test."""
