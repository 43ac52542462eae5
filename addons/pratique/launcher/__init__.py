"""How the service form runs: mitmproxy's master with less around it, the same semantics, and several of it side by side.

The event loop is asyncio's own. uvloop (0.21) took 1.04 and 0.99 of the CPU of small requests (HTTP/1.1, HTTP/2), 1.04 and 1.20
of those of 1 MB (`scripts/bench process`, where the same setting twice differed by up to 14 %); and its release 0.23 does not start
with mitmproxy's eager tasks on Python 3.13.0.
"""
