"""Tools of the developers, which nothing else needs."""
