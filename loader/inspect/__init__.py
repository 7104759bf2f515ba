"""Inspecting a file: what it is, and which format loads it."""

from loader.inspect.command import main

__all__ = ["main"]
