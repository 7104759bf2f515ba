"""Errors, compression, concurrency and passwords, for all of storage."""
