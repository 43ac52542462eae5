"""Policy: rules, conditions, decision, explain. Decides on the canonical request; nothing here does I/O but `addon.py`.

An import of this package must stay cheap and free of CEL: callers import the module that they need.
"""
