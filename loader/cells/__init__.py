"""Finding and reading the fields of rows with numpy, those of many rows at once."""
