"""Commands about who may see what: grants, groups and API keys."""
