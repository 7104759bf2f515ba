"""Rows of a report: read, checked and dated."""
