"""One domain without libvirt: its record, its XML, its identity, and whether it is selected."""
