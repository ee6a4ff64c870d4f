"""Support code of the tests: servers, a hypervisor, the plugin as a process, expected metrics."""
