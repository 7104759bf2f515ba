"""The readings and where they live: the only folder that knows SQL."""
