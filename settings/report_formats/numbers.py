"""What numbers of reports are written with, whatever their format."""

MISSING_WORDS = frozenset(("", "-", "--", "n/a", "#n/a", "na", "nan", "null", "none"))
"""What always stands for a missing value, in small letters."""

THOUSANDS_MARKS = {" ": " \u00a0\u2009\u202f", "'": "'\u2019"}
"""The characters that a mark between thousands stands for, unless it is itself alone."""
