"""Masking: what may be shown of a response, and writes that would turn a mask into a value."""
