"""Reports written into the database."""
