"""Measurements of the list that are more than a request for all readings."""
