"""The usual slips of command lines are not stored; what holds no secret stays readable."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.recorder import argv
from pratique.recorder.argv import MAX_ARGUMENT, SCRUBBED, is_secret_name, scrub_argv, scrub_text

S = "S3CR3T-value"

LEAKY = [
    ["mysql", f"-p{S}", "shop"],
    ["/usr/bin/mysql", "-uroot", f"--password={S}"],
    ["mysqldump", "--password", S],
    ["psql", f"postgres://app:{S}@db/shop"],
    ["env", f"PGPASSWORD={S}", "psql"],
    ["curl", "-H", f"Authorization: Bearer {S}", "http://x"],
    ["curl", f"-HAuthorization: Bearer {S}", "http://x"],
    ["curl", "-H", f"X-Vault-Token: {S}"],
    ["curl", "-H", f"Cookie: {S}"],
    ["curl", "-u", f"bob:{S}", "http://x"],
    ["curl", f"-ubob:{S}", "http://x"],
    ["curl", f"http://bob:{S}@x/"],
    ["redis-cli", "-a", S, "ping"],
    ["redis-cli", f"-a{S}"],
    ["sshpass", "-p", S, "ssh", "h"],
    ["ldapsearch", "-w", S],
    ["vault", "login", "-token", S],
    ["vault", "login", f"--token={S}"],
    ["app", "--api-key", S],
    ["app", "--client-secret", S],
    ["app", f"-p{S}"],
    ["openssl", "enc", "-passin", f"pass:{S}"],
    ["openssl", "enc", f"pass:{S}"],
    ["kubectl", "create", "secret", "generic", "x", f"--from-literal=key={S}"],
    ["sh", "-c", f"mysql -p{S} shop"],
    ["sh", "-c", f"export DB_PASSWORD='{S} two'; run"],
    ["sh", "-c", f"cd /tmp && PGPASSWORD={S} psql | tee log"],
    ["sh", "-c", f"curl -H 'Authorization: Basic {S}' http://x"],
    ["sh", "-c", f'app --secret "{S}"'],
    ["sh", "-c", f"bash -c 'mysql -p{S}'"],
    ["sh", "-c", f"sh -c 'sh -c \"sh -c mysql\\ -p{S}\"'"],
    ["sudo", "mysql", f"-p{S}"],
    ["echo", f"password: {S}"],
    ["echo", "eyJhbGciOiJSUzI1NiJ9.eyJTM0NSM1QiOiJTM0NSM1Qi.S3CR3T"],
    ["echo", "AKIAS3CR3TS3CR3TABCD"],
    ["echo", "ghp_S3CR3TS3CR3TS3CR3T"],
    ["echo", f"-----BEGIN RSA PRIVATE KEY-----\n{S}\n-----END RSA PRIVATE KEY-----"],
    ["echo", f"-----BEGIN PRIVATE KEY-----\n{S}"],
    ["curl", f"https://b.s3.amazonaws.com/x?X-Amz-Signature={S}"],
]


@pytest.mark.parametrize("argv", LEAKY, ids=lambda argv: " ".join(argv).replace("\n", " ")[:60])
def test_a_secret_in_a_command_is_not_stored(argv: list[str]) -> None:
    stored = scrub_argv(argv)
    assert "S3CR3T" not in " ".join(stored)
    assert SCRUBBED in " ".join(stored)
    assert len(stored) == len(argv)


PLAIN = [
    ["ls", "-la"],
    ["mkdir", "-p", "/a/b"],
    ["cp", "-pr", "a", "b"],
    ["tar", "cf", "-", "/data"],
    ["cat", "/etc/passwd"],
    ["cat", "/run/secrets/kubernetes.io/serviceaccount/token"],
    ["echo", "$PASSWORD"],
    ["app", "--token-file", "/run/token"],
    ["app", "--password", "$PASSWORD"],
    ["app", "--password", "--verbose"],
    ["app", "PASSWORD=$OTHER"],
    ["app", "-p8080:80"],
    ["mysql", "-p", "shop"],
    ["sh", "-c", "echo 'a b' | grep token && ls > out"],
    ["sh", "-c", "for i in 1 2; do echo $i; done"],
    ["curl", "-H", "Accept: application/json", "http://x"],
    [],
]


@pytest.mark.parametrize("argv", PLAIN, ids=lambda argv: " ".join(argv)[:60] or "empty")
def test_a_command_without_secrets_is_stored_as_it_is(argv: list[str]) -> None:
    assert scrub_argv(argv) == argv


def test_names_say_what_is_secret() -> None:
    assert all(map(is_secret_name, ("PGPASSWORD", "--api-key", "db_pass", "auth", "clientSecret", "x-auth-token")))
    assert not any(map(is_secret_name, ("--token-file", "path", "PASSWORD_FILE", "author", "secretName")))


def test_what_is_too_long_to_examine_is_not_stored() -> None:
    text = scrub_text("a" * MAX_ARGUMENT + S)
    assert text == "a" * MAX_ARGUMENT + SCRUBBED
    assert scrub_argv(["sh", "-c", "x " * MAX_ARGUMENT]) == ["sh", "-c", SCRUBBED]


@pytest.mark.parametrize(
    "unit", ["a", "://", "password", "eyJaaaaaaaa.", "\"'", "-----BEGIN", "authorization:", "\\", "$("]
)
def test_time_is_linear(unit: str) -> None:
    """An argument of the largest size takes milliseconds: a quadratic pattern would take minutes."""
    text = (unit * MAX_ARGUMENT)[: MAX_ARGUMENT - 1]
    began = time.process_time()
    scrub_argv(["sh", text])
    assert time.process_time() - began < 5


@given(st.lists(st.text(max_size=40), max_size=6))
@settings(max_examples=200, deadline=None)
def test_any_argv_keeps_its_length(argv: list[str]) -> None:
    assert len(scrub_argv(argv)) == len(argv)


@given(st.from_regex(argv._SHORT_WORD, fullmatch=True))
@settings(max_examples=100, deadline=None)
def test_a_short_word_needs_no_look(word: str) -> None:
    patterns = (argv._TOKENS, argv._URL, argv._HEADER, argv._SCHEME, argv._ASSIGNMENT)
    assert not any(pattern.search(word) for pattern in patterns)


@pytest.mark.parametrize("prefix", ["eyJ", "k8s-aws-v1.", "AKIA", "ghp_", "sk-", "npm_", "hvs."])
def test_no_token_is_as_short_as_a_short_word(prefix: str) -> None:
    assert not argv._TOKENS.search((prefix + "A" * 11)[:11])
