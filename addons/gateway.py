"""The script that mitmproxy loads: `mitmdump -s addons/gateway.py`. No logic; see `pratique/bundle.py`."""

from pratique.scripted import configure, done, load, running

__all__ = ["configure", "done", "load", "running"]
