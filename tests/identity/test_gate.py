"""The token is the gate: it is written for an allowing verdict, once, and for nothing else."""

from __future__ import annotations

import pytest

from pratique.errors import CredentialError, Refused
from pratique.identity.gate import MAX_TOKEN_CHARACTERS, Credential, attach_credential
from pratique.identity.impersonation import CallId, ImpersonatedAccount
from pratique.identity.secret import Secret
from pratique.verdict import Action, Verdict

ALLOW = Verdict(Action.ALLOW)
TOKEN = Credential(Secret("t0ken"))
HEADERS = [(b"accept", b"application/json")]


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(Action.DENY),
        Verdict(Action.REQUIRE_APPROVAL),
        Verdict(Action.ALLOW, errors=("rule x broke",)),
        Verdict(Action.REQUIRE_APPROVAL, errors=("x",), approval_id="apr-1"),
        Verdict(Action.DENY, approval_id="apr-1"),
    ],
)
def test_without_an_allowing_verdict_there_is_no_credential(verdict):
    with pytest.raises(Refused) as raised:
        attach_credential(list(HEADERS), verdict, TOKEN)
    assert raised.value.code == 403
    assert "t0ken" not in str(raised.value)


def test_no_verdict_at_all_writes_nothing():
    with pytest.raises(AttributeError):
        attach_credential(list(HEADERS), None, TOKEN)


@pytest.mark.parametrize("verdict", [ALLOW, Verdict(Action.REQUIRE_APPROVAL).approved("apr-1")])
def test_an_allowing_verdict_gets_exactly_one_credential(verdict):
    assert attach_credential(list(HEADERS), verdict, TOKEN) == [*HEADERS, (b"Authorization", b"Bearer t0ken")]


def test_whatever_the_client_sent_is_gone():
    sent = [
        (b"AUTHORIZATION", b"Bearer theirs"),
        (b"authorization", b""),
        (b"iMpErSoNaTe-UsEr", b"root"),
        (b"Impersonate-Extra-x", b"y"),
        (b"X-Remote-User", b"root"),
        (b"Connection", b"Authorization"),
        (b"Sec-WebSocket-Protocol", b"base64url.bearer.authorization.k8s.io.eA, v5.channel.k8s.io"),
    ]
    assert attach_credential(HEADERS + sent, ALLOW, TOKEN) == [
        *HEADERS,
        (b"Sec-WebSocket-Protocol", b"v5.channel.k8s.io"),
        (b"Authorization", b"Bearer t0ken"),
    ]


def test_the_argument_is_not_changed():
    headers = list(HEADERS)
    attach_credential(headers, ALLOW, TOKEN)
    assert headers == HEADERS


def test_a_client_certificate_needs_no_header_and_keeps_none_of_the_clients():
    headers = [*HEADERS, (b"Authorization", b"Bearer theirs")]
    assert attach_credential(headers, ALLOW, Credential(None, client_certificate=True)) == HEADERS


def test_an_empty_credential_is_refused():
    with pytest.raises(CredentialError):
        attach_credential(list(HEADERS), ALLOW, Credential(None))


@pytest.mark.parametrize(
    "token", ["", "x y", "a\r\nImpersonate-User: root", "a\n", "ä", "a\x00", "x" * (MAX_TOKEN_CHARACTERS + 1)]
)
def test_a_token_that_is_no_token_is_refused_and_not_shown(token):
    with pytest.raises(CredentialError) as raised:
        attach_credential(list(HEADERS), ALLOW, Credential(Secret(token)))
    assert len(token) < 2 or token not in str(raised.value)


def test_a_credential_does_not_show_its_token():
    assert "t0ken" not in repr(TOKEN)


AGENT = ImpersonatedAccount("mcp", "agent")


@pytest.mark.parametrize("credential", [TOKEN, Credential(None, client_certificate=True)])
def test_an_account_is_written_with_its_groups_and_nothing_of_the_clients_stays(credential):
    sent = [
        (b"Impersonate-User", b"root"),
        (b"impersonate_group", b"system:masters"),
        (b"Impersonate-Extra-a", b"b"),
        *HEADERS,
    ]
    written = attach_credential(sent, ALLOW, credential, AGENT)
    assert [header for header in written if header[0].lower().startswith(b"impersonate")] == [
        (b"Impersonate-User", b"system:serviceaccount:mcp:agent"),
        (b"Impersonate-Group", b"system:serviceaccounts"),
        (b"Impersonate-Group", b"system:serviceaccounts:mcp"),
        (b"Impersonate-Group", b"system:authenticated"),
    ]
    with pytest.raises(Refused):
        attach_credential(sent, Verdict(Action.DENY), credential, AGENT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "agent",
        "/agent",
        "mcp/",
        "mcp/agent/x",
        "mcp:agent",
        "Mcp/agent",
        "mcp/a\nb",
        "a.b/c",
        "mcp/-a",
        "mcp/agent\n",
    ],
)
def test_what_is_no_service_account_is_not_impersonated(text):
    assert ImpersonatedAccount.parse(text) is None


def test_a_service_account_is_read():
    assert ImpersonatedAccount.parse("mcp/agent.v2") == ImpersonatedAccount("mcp", "agent.v2")


def test_the_id_of_an_own_call_says_as_whom_and_forgets_it_as_a_plain_str():
    made = CallId("id-own-1-live", AGENT)
    assert (made, made.account, CallId("x").account) == ("id-own-1-live", AGENT, None)
    assert type(str(made)) is str
