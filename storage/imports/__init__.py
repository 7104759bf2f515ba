"""Imports of reports into the database."""
