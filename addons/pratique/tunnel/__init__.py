"""What flows after an upgrade, as pure values: bytes of both sides in, bytes for both sides and events out.

One `Session` (`session.py`) stands for one upgraded connection: `exec_websocket.py`, `exec_spdy.py`, `forward_*.py`.
`opening.py` makes the right one. The layer that carries the bytes is `pratique.interlock.tunnel`.
"""
