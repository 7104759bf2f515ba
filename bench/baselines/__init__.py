"""Baselines of the project's own that the service is compared with."""
