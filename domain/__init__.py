"""Quantities, flags, time and queries of meter readings: pure Python, no I/O."""
