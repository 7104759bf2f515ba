"""Tests of server/formats."""
