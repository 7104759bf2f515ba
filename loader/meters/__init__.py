"""Listing, adding, changing, removing and exporting meters."""

from loader.meters.command import main

__all__ = ["main"]
