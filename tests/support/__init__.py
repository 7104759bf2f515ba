"""Servers, databases and reports for the tests."""
