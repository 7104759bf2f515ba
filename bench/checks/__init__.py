"""Checks of targets that take more than a request for all readings."""
