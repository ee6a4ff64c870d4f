"""One hypervisor, tick by tick: threads, connections, and what hangs. No call of libvirt's."""
