"""The output formats of /v1."""
