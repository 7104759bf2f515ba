"""What a request can carry instead of a token: API keys, names and passwords."""
