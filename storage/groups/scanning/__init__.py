"""Sums of the readings of a group's members by bucket, as arrays."""
