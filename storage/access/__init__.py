"""Who may see which meters."""
