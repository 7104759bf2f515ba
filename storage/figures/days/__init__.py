"""Figures from the kept sums of local days."""
