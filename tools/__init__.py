"""Commands of the Makefile that are not tests."""
