"""What the quantities of a reading are made of: numbers, sums, joined rows and registers."""
