"""Authentication and limits: tokens, logins, rate limits."""
