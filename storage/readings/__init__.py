"""Readings as formatted records, page by page."""
