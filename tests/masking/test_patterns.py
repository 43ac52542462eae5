"""Patterns: each finds what it is named for, leaves ordinary text alone, and is found by its hint in raw JSON."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.masking.keys import KeyNames
from pratique.masking.patterns import (
    GENERAL,
    PATTERNS,
    SPECIAL,
    Pattern,
    PatternError,
    PatternSet,
    compile_hint,
    compile_re2,
    spans_of,
)
from pratique.masking.plan import Finder
from pratique.masking.walk import walk

A, B = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ", "ABCDEFGHIJKLMNOP"
# pattern → (text, the secret in it)
FOUND: dict[str, list[tuple[str, str]]] = {
    "aws-access-key-id": [(f"id AKIA{B} x", f"AKIA{B}"), (f"ASIA{B}", f"ASIA{B}"), (f'"ABIA{B}"', f"ABIA{B}")],
    "aws-session-token": [("FwoGZXIvYXdz" + A + "abcd", "FwoGZXIvYXdz" + A), ("IQoJb3JpZ2lu" + A + "abcd", A)],
    "eks-token": [("k8s-aws-v1." + A, A)],
    "google-api-key": [("AIza" + A[:35], A[:35])],
    "google-oauth-token": [("ya29." + A, A)],
    "github-token": [("ghp_" + A, A), ("github_pat_" + A, A), ("gho_" + A, A)],
    "gitlab-token": [("glpat-" + A, A), ("glrt-" + A, A)],
    "slack-token": [("xoxb-1234567890-ab", "1234567890")],
    "slack-webhook": [("https://hooks.slack.com/services/T0000/B0000/" + A, A)],
    "stripe-key": [("sk_live_" + B, B), ("rk_test_" + B, B)],
    "ai-key": [("sk-ant-" + A, A), ("sk-" + A, A)],
    "azure-key": [("AccountName=a;AccountKey=" + A + "==;x=y", A)],
    "npm-token": [("npm_" + A, A)],
    "pypi-token": [("pypi-" + A + A, A)],
    "vault-token": [("hvs." + A, A)],
    "sendgrid-key": [("SG." + A + "." + A, A)],
    "age-key": [("AGE-SECRET-KEY-1" + "Q" * 58, "Q" * 58)],
    "jwt": [("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "c2lnbmF0dXJl"), ("eyJhbGciOiJub25lIn0..c2lnbmF0dXJl", "c2ln")],
    "private-key": [("-----BEGIN EC PRIVATE KEY-----MIIE-----END EC PRIVATE KEY-----", "MIIE"), ("-----BEGIN PRIVATE KEY-----abc", "abc")],
    "bearer": [("authenticate with bearer " + A, A), ("Basic " + A + "==", A)],
    "authorization": [("Authorization: Digest user42", "Digest user42"), ('"x-api-key": "abcd1234"', "abcd1234"), ("Cookie: sid=abcdef", "sid=abcdef")],
    "url-credentials": [("pg://user:hunter2@host/db", "hunter2"), ("https://:tok3n@host", "tok3n")],
    "signed-url": [("https://s3/x?X-Amz-Signature=0123456789abcdef&y=1", "0123456789abcdef"), ("?sv=1&sig=abcdefgh%3D", "abcdefgh%3D")],
    "password-assignment": [
        ("password=hunter2", "hunter2"), ('DB_PASSWORD="two words"', "two words"), ("api_key='x y'", "x y"), ("PGPASSWD = x1", "x1"),
        ("secretkey1=abc", "abc"), ('{\\"token\\"=\\"abc\\"}', "abc"),
    ],
    "password-field": [("password: hunter2", "hunter2"), ('"secret": "xyz"', "xyz"), ('{\\"password\\":\\"abc\\"}', "abc"), ("token: 'a b'", "a b")],
    "password-flag": [("--password hunter2", "hunter2"), ("mysql --db-token abcde -v", "abcde"), ("-secret wxyz", "wxyz")],
    "docker-auth": [('{"auth":"dXNlcjpwYXNz"}', "dXNlcjpwYXNz"), ('{\\"auth\\":\\"dXNlcjpwYXNz\\"}', "dXNlcjpwYXNz")],
    "invalid-value": [('type: Invalid value: "Q0FO": field', "Q0FO"), ("Duplicate value: Q0FO", "Q0FO")],
    "blob": [("H4sI" + A + A, A)],
}  # fmt: skip
ORDINARY = [
    "my-secret token bucket", "a-token rotation",
    "token bucket: full", "the password policy: see docs", "secret not found", "passwords must have 8 characters",
    "https://host:8443/path@v1", "git@github.com:org/repo.git", "user@example.com:22", "bearer of good news", "basic income",
    "serviceAccountToken projected", "key: value", "access: granted to many", "AKIAX", "sk-8", "the token: is it valid?",
    "image: repo/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "-----BEGIN CERTIFICATE-----",
    "authorization mode RBAC", "x=1&y=2", "level=info msg=ok", "2026-01-02T03:04:05Z", "eyJ.", "password:", "token=", "--token",
    "secretName: db", "tokenReview.authentication.k8s.io", "arn:aws:iam::111122223333:role/x", "10.0.0.1:8080", "a://b/c:d@e",
]  # fmt: skip


def test_every_pattern_has_examples() -> None:
    assert FOUND.keys() == PATTERNS.keys()
    assert set(GENERAL) == PATTERNS.keys() - SPECIAL


EXAMPLES = [(name, text, secret) for name, examples in FOUND.items() for text, secret in examples]


@pytest.mark.parametrize(("name", "text", "secret"), EXAMPLES)
def test_a_pattern_finds_what_it_is_named_for(name: str, text: str, secret: str) -> None:
    raw = text.encode()
    spans = PatternSet([PATTERNS[name]]).spans(raw)
    assert spans, text
    covered = b"".join(raw[start:end] for start, end, _ in spans)
    assert secret.encode() in covered
    assert {found for _, _, found in spans} == {name}


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert PatternSet(PATTERNS[name] for name in GENERAL).spans(text.encode()) == []


@pytest.mark.parametrize(("name", "text", "secret"), EXAMPLES)
@pytest.mark.parametrize("escape", [0, 1, 2])
def test_the_hint_is_found_in_raw_json_wherever_the_pattern_matches(
    name: str, text: str, secret: str, escape: int
) -> None:
    """The text of a field, as the API server writes it; and a field that holds JSON which holds it."""
    for _ in range(escape):
        text = json.dumps({"a": text})
    if PatternSet([PATTERNS[name]]).search(text.encode()):
        assert Finder([PATTERNS[name].hint]).finds(json.dumps({"field": text}).encode()), text


SNIPPETS = [text for examples in FOUND.values() for text, _ in examples] + ORDINARY
SNIPPETS += [
    '"',
    "'",
    "\\",
    "\n",
    "\t",
    " ",
    "=",
    ":",
    "password",
    "TOKEN",
    "é",
    "\u2028",
    "{",
    "}",
    "<",
    "&",
    "auth",
    "key",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(SNIPPETS), min_size=1, max_size=5).map("".join))
def test_hints_find_too_much_rather_than_too_little(text: str) -> None:
    raw = json.dumps({"field": text}, ensure_ascii=False).encode()
    for name in PATTERNS:
        if PatternSet([PATTERNS[name]]).search(text.encode()):
            assert Finder([PATTERNS[name].hint]).finds(raw), (name, text)


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_hint_never_reaches_over_the_end_of_a_string(name: str) -> None:
    """Else a find in one string could cover a find in the next one."""
    hint = compile_hint(PATTERNS[name].hint)
    for left, right in itertools.product(SNIPPETS, repeat=2):
        raw = json.dumps([left, right]).encode()
        end = len(json.dumps([left]).encode()) - 1
        for match in hint.finditer(raw):
            start, stop = match.span()
            assert not start < end < stop, (left, right)


# --- key names ---

NAMES = [
    "password",
    "DB_PASSWORD",
    "api-key",
    "apiKey",
    "API KEY",
    "secretName",
    "token",
    "tokenTTL",
    "x",
    "K\u212aey",
    "clientSecret",
]
NAMES += ['pass"word', "pass\\word", "pass\nword", "existingSecret", "dsn", "sshKey", "défaut-token", "--token", "-pwd"]
TREES = st.recursive(
    st.sampled_from(
        ["v", "--token", "--password=x", "-pwd=", "--x", "", "password", "DB_PASSWORD", "\u2028", 1, -2.5, True, None]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "name", "key", "value", "defaultValue"]), inner, max_size=3)
    ),
    max_leaves=10,
).filter(lambda tree: isinstance(tree, dict | list))


@settings(max_examples=250, deadline=None)
@given(TREES, st.sampled_from([("general",), ("*password*", "!x*"), ("tok?n", "api*"), ("*word",)]))
def test_the_hint_of_key_names_finds_every_object_in_which_they_match(tree: object, globs: tuple[str, ...]) -> None:
    names, found = KeyNames(globs), []
    walk([tree], [names], lambda *given: found.append(given), collect=False)
    if found:
        assert Finder([names.hint]).finds(json.dumps(tree, ensure_ascii=False).encode()), tree


@pytest.mark.parametrize(
    ("name", "sensitive"),
    [
        ("password", True), ("DB_PASSWORD", True), ("spring.datasource.password", True), ("api_key", True), ("apiKey", True),
        ("client-secret", True), ("AWS_SECRET_ACCESS_KEY", True), ("token", True), ("client-key-data", True), (".dockerconfigjson", True),
        ("secretName", False), ("passwordSecretRef", False), ("tokenExpirationSeconds", False), ("existingSecret", False),
        ("imagePullSecret", False), ("password-file", False), ("continueToken", False), ("key", False), ("monkey", False), ("name", False),
    ],
)  # fmt: skip
def test_general_key_names(name: str, sensitive: bool) -> None:
    assert KeyNames(["general"]).matches(name) is sensitive


def test_names_that_were_asked_for_are_forgotten_when_they_are_many() -> None:
    names = KeyNames(["*token"])
    for number in range(20_000):
        assert not names.matches(f"name-{number}")
    assert len(names._seen) <= 8192
    assert names.matches("a-token")


@pytest.mark.parametrize("globs", [["*"], ["?*"], ["!x"], ["**"]])
def test_globs_without_a_letter_have_no_hint(globs: list[str]) -> None:
    assert KeyNames(globs).hint == ""


# --- patterns of the operator's own ---


@pytest.mark.parametrize(
    ("regex", "part"),
    [
        ("(", "not an RE2"),
        ("(?=x)y", "not an RE2"),
        (r"(a)\1", "not an RE2"),
        ("x*", "empty string"),
        ("^", "empty string"),
        ("$", "empty"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused(regex: str, part: str) -> None:
    with pytest.raises(PatternError, match=part):
        PatternSet([Pattern("own", regex)])


def test_a_pattern_that_is_in_two_rules_is_searched_once() -> None:
    pattern = Pattern("own", "x[0-9]+")
    assert len(PatternSet([pattern, pattern]).patterns) == 1
    assert PatternSet([pattern]).spans(b"ax12 x3") == [(1, 4, "own"), (5, 7, "own")]


def test_no_pattern_matches_over_a_line_end() -> None:
    patterns = PatternSet(PATTERNS.values())
    for _, text, _ in EXAMPLES:
        for place in range(1, len(text)):
            for start, end, _ in patterns.spans((text[:place] + "\n" + text[place:]).encode()):
                assert not start < place < end


def test_a_hint_that_is_no_expression_is_an_error() -> None:
    with pytest.raises(PatternError):
        compile_hint("(")
    with pytest.raises(PatternError):
        compile_re2("[")


@settings(deadline=None)
@given(
    st.text("ab\n", max_size=20),
    st.sampled_from(["a", "ab|b", "b*", "(?:a|b){2}", "$", "c"]),
    st.integers(0, 22),
    st.integers(0, 22),
)
def test_spans_are_those_that_re2_says(text: str, expression: str, start: int, stop: int) -> None:
    regex, body = compile_hint(expression), text.encode()
    start, stop = min(start, len(body)), min(stop, len(body))
    assert list(spans_of(regex, body, start, stop)) == [match.span() for match in regex.finditer(body, start, stop)]
