"""Reading the rows of reports in formats that settings describe."""
