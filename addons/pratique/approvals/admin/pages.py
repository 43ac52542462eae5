"""I/O: the page's files, read once. No template: nothing of a request ever becomes markup on the server.

Belongs here: which files there are, which paths are the page. Not here: what they show (`static/app.js`, from the API).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STATIC = Path(__file__).with_name("static")
_TYPES = {
    "app.js": "text/javascript; charset=utf-8",
    "revocations.js": "text/javascript; charset=utf-8",
    "playground.js": "text/javascript; charset=utf-8",
    "parts.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
# The page itself looks at the path: list, one approval, history, grants, revocations, playground, a link from a message.
_PAGES = frozenset({"", "history", "grants", "revocations", "playground", "link"})
_APPROVAL = "a/"


@dataclass(frozen=True, slots=True)
class File:
    content_type: str
    content: bytes


FILES = {name: File(kind, (STATIC / name).read_bytes()) for name, kind in _TYPES.items()}
_INDEX = File("text/html; charset=utf-8", (STATIC / "index.html").read_bytes())


def page_of(path: str) -> File | None:
    return _INDEX if path in _PAGES or path.startswith(_APPROVAL) else None
