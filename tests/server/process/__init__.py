"""Tests of server/process."""
