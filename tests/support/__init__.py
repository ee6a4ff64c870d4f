"""What the tests share: a real hypervisor of their own, and what to do where one cannot be had."""
