"""Groups of meters: their members, the sums of these, and of which state the data is."""
