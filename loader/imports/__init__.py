"""Importing reports: whose they are, one transaction for each meter, and worker processes."""
