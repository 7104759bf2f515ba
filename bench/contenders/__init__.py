"""The contenders: the service, its peers, and the limits."""
