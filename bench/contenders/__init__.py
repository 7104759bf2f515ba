"""Those that are compared."""
