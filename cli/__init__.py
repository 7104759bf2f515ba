"""Shared code of all command lines."""
