"""Files as meter owners get them, made of readings: a writer for each shipped format."""
