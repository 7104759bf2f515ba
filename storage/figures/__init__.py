"""Figures computed from readings."""
