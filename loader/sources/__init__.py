"""Turning the file of a report into lines in UTF-8: unpacking, decoding, and other layouts."""
