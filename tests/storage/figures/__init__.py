"""Tests of storage/figures."""
