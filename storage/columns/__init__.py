"""Readings as arrays: quantities are exact integers, scaled by 10^5."""
