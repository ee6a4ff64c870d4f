"""What one connection to a hypervisor can do: libvirt's calls, and what they mean. No threads."""
