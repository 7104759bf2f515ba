"""From a CSV report to the storage."""
