"""Aggregates of groups of readings as arrays, and figures made of them."""
