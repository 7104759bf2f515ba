"""Generating sample reports: of one meter, or of a fleet."""

from loader.sample.bakery import GAPS, IMPLAUSIBLE_READINGS, report
from loader.sample.command import main

__all__ = ["GAPS", "IMPLAUSIBLE_READINGS", "main", "report"]
