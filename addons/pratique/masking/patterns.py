r"""Patterns of secrets in text: cloud keys, tokens, private keys, `password=…`.

Belongs here: the built-in patterns and how several are compiled into one expression. Not here: streams and lines
(`text.py`), which rule uses which pattern (`rules.py`).

Every regex stays inside what `prefixes.py` can turn round (streams need that), with `[\x00-\x20]` in place of `\s`,
and no match goes over a line end. The group that took part in a
match is what is replaced; without a group, the whole match. `hint` is a cheaper expression that is found in the raw
JSON of every object in which the pattern may match (there `"` is `\"` and a line end is `\n`): it may find too
much, never too little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import re2

from pratique.errors import PratiqueError
from pratique.masking.prefixes import UnknownSyntaxError, prefixes


class PatternError(PratiqueError):
    """A pattern that cannot be compiled, or that would match the empty string."""


@dataclass(frozen=True, slots=True)
class Pattern:
    name: str
    regex: str
    hint: str = ""  # "": no hint, every object is looked at


# Names of values; what follows `=` or `:` is the secret.
_WORD = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret(?:[_.-]?key)?|token|api[_.-]?key|access[_.-]?key|private[_.-]?key|"
    r"(?:signing|encryption|key)[_.-]?(?:key|data)|credentials?|aws_secret_access_key)"
)
_NAME_END = r"[0-9]{0,2}\\?[\"']?[ \t]*"
_BARE = r"[^\x00-\x20\"'\\,;&<>(){}\[\]|]"
_QUOTED = r"\"([^\"\x00-\x1f]+)\"|'([^'\x00-\x1f]+)'|\\\"([^\"\\\x00-\x1f]+)\\\""
# The same place in raw JSON: quotes are escaped there, so an ordinary key (`"token":`) does not look like one.
_HINT = rf"(?i:{_WORD})[0-9]{{0,2}}(?:\\+\"|')?(?:[ \t]|\\t)*"
_FLAG = r"(?:password|passwd|passphrase|token|secret|api-?key)"
_B64 = r"[A-Za-z0-9+/]"
_URLSAFE = r"[A-Za-z0-9_-]"
_PEM = r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_PEM_END = r"-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"

PATTERNS: dict[str, Pattern] = {
    pattern.name: pattern
    for pattern in (
        Pattern("aws-access-key-id", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}", r"A(?:KI|SI|BI|CC)A[A-Z0-9]{16}"),
        Pattern(
            "aws-session-token", rf"(?:FwoGZXIvYXdz|IQoJb3JpZ2lu){_B64}{{40,}}={{0,2}}", "FwoGZXIvYXdz|IQoJb3JpZ2lu"
        ),
        Pattern("eks-token", rf"k8s-aws-v1\.{_URLSAFE}{{20,}}", r"k8s-aws-v1\."),
        Pattern("google-api-key", rf"AIza{_URLSAFE}{{35}}", "AIza"),
        Pattern("google-oauth-token", rf"ya29\.{_URLSAFE}{{20,}}", r"ya29\."),
        Pattern(
            "github-token", r"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})", "gh[pousr]_|github_pat_"
        ),
        Pattern("gitlab-token", rf"gl(?:pat|ptt|dt|rt|cbt)-{_URLSAFE}{{20,}}", "gl(?:pat|ptt|dt|rt|cbt)-"),
        Pattern("slack-token", r"xox[abeoprs]-[A-Za-z0-9-]{10,}", "xox[abeoprs]-"),
        Pattern(
            "slack-webhook",
            r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_+-]{20,})",
            r"hooks\.slack",
        ),
        Pattern("stripe-key", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}", "[rs]k_(?:live|test)_"),
        Pattern("ai-key", rf"\bsk-(?:ant-|proj-|or-)?{_URLSAFE}{{20,}}", f"sk-{_URLSAFE}{{20}}"),
        Pattern("azure-key", rf"(?:AccountKey|SharedAccessKey)=({_B64}{{32,}}={{0,2}})", "(?:Account|Access)Key="),
        Pattern("npm-token", r"npm_[A-Za-z0-9]{36}", "npm_[A-Za-z0-9]{36}"),
        Pattern("pypi-token", rf"pypi-{_URLSAFE}{{50,}}", f"pypi-{_URLSAFE}{{50}}"),
        Pattern("vault-token", rf"\bhv[sbr]\.{_URLSAFE}{{20,}}", rf"hv[sbr]\.{_URLSAFE}{{20}}"),
        Pattern("sendgrid-key", rf"SG\.{_URLSAFE}{{16,}}\.{_URLSAFE}{{16,}}", rf"SG\.{_URLSAFE}{{16}}"),
        Pattern("age-key", r"AGE-SECRET-KEY-1[0-9A-Z]{50,}", "AGE-SECRET-KEY-1"),
        Pattern("jwt", rf"eyJ{_URLSAFE}{{8,}}\.{_URLSAFE}*\.{_URLSAFE}{{6,}}", rf"eyJ{_URLSAFE}{{8,}}\."),
        Pattern("private-key", rf"{_PEM}(?:.*?{_PEM_END}|.*)", r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY"),
        Pattern(
            "bearer",
            r"(?i:\b(?:bearer|basic|token))[ \t]+([A-Za-z0-9._~+/-]{20,}=*)",
            r"(?i:bearer|basic|token)(?:[ \t]|\\t)",
        ),
        Pattern(
            "authorization",
            rf"(?i:\b(?:proxy-)?authorization|\bx-(?:api-key|auth-token|vault-token)|\bset-cookie|\bcookie){_NAME_END}[:=][ \t]*\\?[\"']?"
            r"([^\x00-\x20\"'\\][^\x00-\x1f\"'\\]{3,})",
            r"(?i:authorization|x-api-key|x-auth-token|x-vault-token|cookie)(?:\\+\"|')?(?:[ \t]|\\t)*[:=]",
        ),
        Pattern(
            "url-credentials",
            r"://[^\x00-\x20/?#@:\"'<>]{0,128}:([^\x00-\x20/?#@\"'<>]{1,512})@",
            r"://[^/?#@\"]*:[^/?#@\"]*@",
        ),
        Pattern(
            "signed-url",
            r"[?&](?:X-Amz-(?:Signature|Credential|Security-Token)|X-Goog-(?:Signature|Credential)|sig|Signature)=([^\x00-\x20\"'&<>\\]{8,})",
            r"(?:Signature|Credential|Security-Token|sig)=",
        ),
        Pattern("password-assignment", rf"(?i:{_WORD}){_NAME_END}=[ \t]*(?:{_QUOTED}|({_BARE}+))", _HINT + "="),
        Pattern(
            "password-field",
            rf"(?i:{_WORD}){_NAME_END}:[ \t]*(?:{_QUOTED}|({_BARE}[^\x00-\x20\"'\\,{{}}\[\]]{{3,}})[ \t\r]*(?:$|[,}}]))",
            _HINT + ":",
        ),
        Pattern(
            "password-flag",
            rf"\B(?i:--?[a-z0-9-]{{0,40}}{_FLAG})[ \t]+([^\x00-\x20-][^\x00-\x20]{{3,}})",
            rf"(?i:-[a-z0-9-]{{0,40}}{_FLAG})(?:[ \t]|\\t)",
        ),
        Pattern("docker-auth", rf"\\?\"auth\\?\"[ \t]*:[ \t]*\\?\"({_B64}{{8,}}={{0,2}})", r"auth\\+\""),
        Pattern(
            "invalid-value",
            r"(?i:invalid value|unsupported value|duplicate value): (\"(?:[^\"\\]|\\.)*\"|[^\x00-\x20:]+)",
            "(?i:value): ",
        ),
        Pattern("blob", rf"(?:{_B64}|[_-]){{64,}}={{0,2}}", rf"(?:{_B64}|[_-]){{64}}"),
    )
}
# Fit only where a rule asks for them: they take ordinary text for a secret elsewhere.
SPECIAL = frozenset({"invalid-value", "blob"})
GENERAL = tuple(name for name in PATTERNS if name not in SPECIAL)


def re2_options() -> re2.Options:
    """Bytes in, bytes out, and never a match over a line end."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_nl = True
    options.log_errors = False
    options.max_mem = 64 << 20
    return options


def compile_re2(text: str) -> re2._Regexp:
    try:
        return re2.compile(text.encode(), re2_options())
    except (re2.error, UnicodeEncodeError) as error:
        raise PatternError(f"`{text}` is not an RE2 regular expression: {error}") from None


def compile_hint(text: str) -> re2._Regexp:
    """For raw JSON, where a line end may stand between a name and its value."""
    options = re2_options()
    options.never_nl = False
    try:
        return re2.compile(text.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        raise PatternError(f"`{text}` is not an RE2 regular expression: {error}") from None


def spans_of(regex: re2._Regexp, text: bytes, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Of each match in `text[start:stop]`, in order, one at a time.

    What `finditer` does, without the two objects and three calls that its wrapper makes of each match: a third of the
    time where there is a match in every kilobyte.
    """
    match, anywhere = regex._regexp.Match, re2._Anchor.UNANCHORED  # noqa: SLF001
    while (span := match(anywhere, text, start, stop)[0]) != _NO_MATCH:
        yield span
        start = span[1] if span[1] > start else start + 1
        if start > stop:
            return


_NO_MATCH = (-1, -1)


class PatternSet:
    """Several patterns as one expression. Immutable, so safe in threads."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self.patterns = tuple({pattern.name: pattern for pattern in patterns}.values())
        self._groups: list[str] = [""]
        alternatives = [self._alternative(pattern) for pattern in self.patterns]
        self._numbers = range(1, len(self._groups))
        self._regex = f"(?m:{'|'.join(alternatives)})"
        self._re2 = compile_re2(self._regex)
        self.hint = "" if not all(p.hint for p in self.patterns) else "|".join(p.hint for p in self.patterns)

    def _alternative(self, pattern: Pattern) -> str:
        compiled = compile_re2(pattern.regex)
        if compiled.search(b"") or compiled.search(b"\n"):
            raise PatternError(f"pattern `{pattern.name}` matches the empty string. Require at least one character.")
        text = pattern.regex if compiled.groups else f"({pattern.regex})"
        self._groups += [pattern.name] * max(compiled.groups, 1)
        return f"(?:{text})"

    @cached_property
    def _begins(self) -> re2._Regexp | None:
        """Finds where a match that is not finished may begin; None if that cannot be told."""
        try:
            return compile_re2(rf"(?m:{'|'.join(prefixes(pattern.regex) for pattern in self.patterns)})\z")
        except (UnknownSyntaxError, PatternError):
            return None

    def search(self, text: bytes) -> bool:
        return self._re2.search(text) is not None

    def spans(self, text: bytes, start: int = 0) -> list[tuple[int, int, str]]:
        """(start, end, pattern name) of every secret that begins at `start` or later, in order, not overlapping."""
        return [self._secret(match) for match in self._re2.finditer(text, start)]

    def _secret(self, match: re2._Match) -> tuple[int, int, str]:
        span = match.span
        for group in self._numbers:
            start, end = span(group)
            if start >= 0:
                return start, end, self._groups[group]
        raise PatternError("a match without a group")  # cannot happen: every alternative has one

    def hold(self, text: bytes, start: int) -> int:
        """Where the first match that is not finished yet may begin; `len(text)` if nowhere."""
        if self._begins is None:
            return start
        match = self._begins.search(text, start)
        return len(text) if match is None else int(match.span()[0])

    def matches(self, text: bytes, start: int) -> list[tuple[int, int]]:
        """Whole matches (not only their secrets), as streams need them."""
        return [match.span() for match in self._re2.finditer(text, start)]
