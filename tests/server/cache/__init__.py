"""Tests of server/cache."""
