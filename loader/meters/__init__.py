"""The command `elecdata meters`."""
