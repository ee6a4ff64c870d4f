"""A simulated hypervisor and simulated time drive the real engine; one seed makes one run."""
