"""Tests of server/transport."""
