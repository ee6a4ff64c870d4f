"""The configuration: one table of options, and the function that checks each value."""
