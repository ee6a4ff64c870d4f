"""From the records of domains to line protocol."""
