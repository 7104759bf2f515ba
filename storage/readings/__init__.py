"""Stored readings, read page by page."""
