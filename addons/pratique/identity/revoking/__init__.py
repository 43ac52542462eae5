"""Revocation at work: the default store, the set that is in force in memory, and the hooks that refuse and end."""
