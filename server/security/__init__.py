"""Who may ask: tokens, logins, rate limits."""
