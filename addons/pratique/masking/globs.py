"""Globs of the mask rules: `*` and `?`, and `!` in front of an exception.

Belongs here: matching one name against a list of globs. Not here: what is matched (`rules.py`), key names (`keys.py`).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable


def compile_globs(globs: Iterable[str]) -> Callable[[str], bool]:
    """True for a name that some glob matches and no `!glob` does. Only exceptions: everything else matches.

    Case counts. `*` also matches the empty name and `/`.
    """
    texts = list(globs)
    refused = _union(glob[1:] for glob in texts if glob.startswith("!"))
    wanted = _union(glob for glob in texts if not glob.startswith("!"))
    if wanted is None and refused is not None:
        wanted = re.compile("")

    def matches(name: str) -> bool:
        return bool(wanted and wanted.match(name)) and not (refused and refused.match(name))

    return matches


def _union(globs: Iterable[str]) -> re.Pattern[str] | None:
    # fnmatch.translate anchors with \Z; `[` is taken literally, as RBAC knows no character classes.
    texts = [fnmatch.translate(glob.replace("[", "[[]")) for glob in globs]
    return re.compile("|".join(texts)) if texts else None
