"""Measurements. `./scripts/bench` runs them; pytest does not, and no test asserts a time.

Each other module of this package is a bench: its name is what the command line takes, the first line of its docstring
says what is measured, and `run(meter)` measures it (`meter.py`). There is nothing to register. Modules of the runner
itself are `meter`, `report` and `__main__`.

A bench compares things in one run, in alternating order: the machine's noise then falls on all of them, and the ratio
stays meaningful where the microseconds do not.
"""
