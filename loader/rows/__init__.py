"""Reading, checking and dating the rows of a report."""
