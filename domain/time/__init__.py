"""Local time: zones, days, intervals, and texts of times."""
