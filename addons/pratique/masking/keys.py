"""Key names that say "what follows is a secret": at any depth of an object, in name/value pairs, in command-line flags.

Belongs here: matching key names, and the byte expression that finds them in raw JSON. Not here: the walk (`walk.py`).

Names are compared in lower case without `-`, `_` and spaces, so `*apikey` is API_KEY, api-key and apiKey. A glob
with `!` in front is an exception (`!*secretname`). `general` stands for GENERAL_NAMES.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable

from pratique.masking.globs import compile_globs

_SEPARATORS = re.compile(r"[-_ ]")
_CACHE_LIMIT = 8192  # names that are remembered; they come from the cluster, so they are bounded
# The members of a pair: {"name": "DB_PASSWORD", "value": "…"}.
PAIR_NAMES = ("name", "key")
PAIR_VALUES = ("value", "defaultValue")

# `general` in a policy. The exceptions are names of things, not the things.
GENERAL_NAMES = (
    "*password*", "*passwd*", "*passphrase*", "*pwd", "*secret", "*secretkey", "*secret.key", "*token",
    "*apikey", "*api.key", "*accesskey", "*accesskeyid", "*privatekey", "*signingkey", "*encryptionkey",
    "*masterkey", "*sshkey", "*keydata", "*credential", "*credentials", "*authorization", "*connectionstring",
    "*connectionuri", "*databaseurl", "*dsn", "*cookie", "*licensekey", "*webhookurl", "*bearer",
    "*dockerconfigjson",
    "!*name", "!*file", "!*path", "!*dir", "!*ref", "!*policy", "!*length", "!*ttl", "!*seconds", "!*enabled",
    "!*existingsecret", "!*pullsecret", "!*tlssecret", "!*secretname", "!*pagetoken", "!*passwordkey",
    "!*passwordsecret", "!*passwordsecretkey", "!*continuetoken",
)  # fmt: skip


class KeyNames:
    """`matches(name)` with a memory. Benign races: every thread computes the same answer."""

    def __init__(self, globs: Iterable[str]) -> None:
        self.globs = tuple(name for glob in globs for name in (GENERAL_NAMES if glob == "general" else (glob,)))
        self._matches = compile_globs(_normal(glob) for glob in self.globs)
        self._seen: dict[str, bool] = {}

    def matches(self, name: str) -> bool:
        known = self._seen.get(name)
        if known is None:
            known = self._matches(_normal(name))
            if len(self._seen) >= _CACHE_LIMIT:
                self._seen = {}
            self._seen[name] = known
        return known

    @property
    def hint(self) -> str:
        """An expression that is found in the raw JSON of every object that the names may touch ("": none can be made).

        A key with a string, number or list, or with a map that has a value; a pair's name; a flag at the start of a
        string. Other maps and booleans are not masked: `"serviceAccountToken":{` of every pod does not count.
        """
        wanted = [_normal(glob) for glob in self.globs if not glob.startswith("!")]
        if not wanted or any(not glob.strip("*?") for glob in wanted):
            return ""
        name = f"(?:{'|'.join(_text(glob) for glob in wanted)})"
        key = rf'{name}"\s*:\s*["\[0-9-]'
        pair = rf'"(?:name|key)"\s*:\s*"{_CHAR}*{name}"'
        flag = rf'"--?{_CHAR}*{name}(?:=|"\s*,)'
        described = rf'{name}"\s*:\s*\{{(?:[^{{}}\[\]"]|"{_CHAR}*")*"(?:value|defaultValue)"\s*:'
        return f"(?i:{key}|{described}|{pair}|{flag})"


def _normal(name: str) -> str:
    """Lower case in ASCII only: U+212A would become `k`, which the hint does not see."""
    return _SEPARATORS.sub("", name).translate(_LOWER)


_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_CHAR = r'(?:[^"\\]|\\.)'  # one character of a JSON string, as it is written


def _text(glob: str) -> str:
    """The glob as it is written in JSON, without a leading `*`, which needs no text of its own."""
    pieces = (
        f"{_CHAR}*" if char == "*" else f"{_CHAR}+" if char == "?" else re.escape(char) + "[-_ ]*"
        for char in glob.lstrip("*")
    )
    return "".join(pieces)
