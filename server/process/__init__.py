"""One server process, or several."""
