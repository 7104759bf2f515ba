"""The demand of a group: the mean power of all members together, and its peaks and profile."""
