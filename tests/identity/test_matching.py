"""Issuer and Client documents: what is refused at its place, and which client a verified token is."""

from __future__ import annotations

import pytest

from pratique.errors import DocumentErrors
from pratique.identity.clients import Clients
from pratique.identity.issuers import ClusterKeys, FileKeys, UrlKeys
from pratique.identity.proof import Claims, NotProvedError, Proof
from tests.identity.helpers import documents
from tests.identity.issuing import AUDIENCE, ISSUER, account_claims

NOW = 1_800_000_000.0
ISSUERS = f"""
apiVersion: pratique/v1
kind: Issuer
metadata: {{name: cluster}}
spec:
  tokens: {{url: {ISSUER}, audiences: [{AUDIENCE}], keys: {{file: keys.json}}}}
---
apiVersion: pratique/v1
kind: Issuer
metadata: {{name: login}}
spec:
  tokens: {{url: "https://login.example", audiences: [{AUDIENCE}], keys: {{url: "https://login.example/keys"}}}}
"""


def client(name, spec):
    return f"---\napiVersion: pratique/v1\nkind: Client\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n"


def clients(*specs):
    text = ISSUERS.lstrip() + "".join(client(f"c{number}", spec) for number, spec in enumerate(specs))
    return Clients.from_documents(documents(text))


def claims(issuer="cluster", **more):
    said = account_claims(NOW) | more
    return Claims(issuer, said["sub"], said, frozenset({AUDIENCE}), "RS256", "rsa")


ACCOUNT = "serviceAccount: {issuer: cluster, namespace: mcp, name: server}"


def test_a_service_account_is_its_client():
    found, kind = clients(ACCOUNT).of_fact(claims())
    assert (found.name, kind) == ("c0", "serviceAccount")


@pytest.mark.parametrize(
    "spec",
    ["serviceAccount: {issuer: cluster, namespace: mcp, name: server, uid: sa-1}",
     "serviceAccount: {issuer: cluster, namespace: mcp, name: server, pod: 'server-*'}",
     "oidc: {issuer: cluster, subject: 'system:serviceaccount:mcp:server'}",
     "oidc: {issuer: cluster, claims: {groups: ops}}",
     "oidc: {issuer: cluster, claims: {groups: ops, verified: true, level: 3}}"],
)  # fmt: skip
def test_a_token_is_the_client_whose_every_condition_it_meets(spec):
    assert clients(spec).of_fact(claims(groups=["dev", "ops"], verified=True, level=3))[0].name == "c0"


NOBODY = {
    "other namespace": (ACCOUNT, account_claims(NOW, namespace="mcp2")),
    "other name": (ACCOUNT, account_claims(NOW, name="server2")),
    "no such claims": (ACCOUNT, {"kubernetes.io": None}),
    "claims of another account": (ACCOUNT, {"kubernetes.io": account_claims(NOW, name="x")["kubernetes.io"]}),
    "claims are a string": (ACCOUNT, {"kubernetes.io": "mcp"}),
    "other uid": ("serviceAccount: {issuer: cluster, namespace: mcp, name: server, uid: sa-2}", {}),
    "other pod": ("serviceAccount: {issuer: cluster, namespace: mcp, name: server, pod: 'web-*'}", {}),
    "glob is whole": ("serviceAccount: {issuer: cluster, namespace: mcp, name: server, pod: 'server'}", {}),
    "other issuer": ("serviceAccount: {issuer: login, namespace: mcp, name: server}", {}),
    "other subject": ("oidc: {issuer: cluster, subject: 'system:serviceaccount:mcp:serve'}", {}),
    "one claim less": ("oidc: {issuer: cluster, claims: {groups: ops, tenant: a}}", {"groups": ["ops"]}),
    "part of a claim": ("oidc: {issuer: cluster, claims: {groups: ops}}", {"groups": "ops dev"}),
    "true is not 1": ("oidc: {issuer: cluster, claims: {admin: true}}", {"admin": 1}),
    "true is not a word": ("oidc: {issuer: cluster, claims: {admin: true}}", {"admin": "true"}),
    "key of a map": ("oidc: {issuer: cluster, claims: {groups: ops}}", {"groups": {"ops": 1}}),
}


@pytest.mark.parametrize(("spec", "more"), NOBODY.values(), ids=NOBODY.keys())
def test_a_token_that_meets_one_condition_less_is_nobody(spec, more):
    with pytest.raises(NotProvedError, match="no Client document"):
        clients(spec).of_fact(claims(**more))


def test_a_token_that_two_clients_mean_is_nobodys():
    both = clients("oidc: {issuer: cluster, claims: {groups: ops}}", "oidc: {issuer: cluster, claims: {tenant: a}}")
    assert both.of_fact(claims(groups="ops"))[0].name == "c0"
    with pytest.raises(NotProvedError, match="several clients"):
        both.of_fact(claims(groups="ops", tenant="a"))


def test_an_open_stream_holds_while_the_documents_still_mean_it():
    before = clients(ACCOUNT)
    found, kind = before.of_fact(claims())
    proof = Proof(kind, "jti", claims(), NOW + 60)
    assert before.holds(found, proof, NOW)
    assert not before.holds(found, proof, NOW + 60)
    assert not clients("apiKeys: []").holds(found, proof, NOW)
    assert not clients("apiKeys: []", ACCOUNT).holds(found, proof, NOW)
    assert not clients("oidc: {issuer: cluster, subject: 'system:serviceaccount:mcp:server'}").holds(found, proof, NOW)
    for other in (("audiences: [pratique]", "audiences: [other]"), (ISSUER, ISSUER + "2"),
                  ("keys: {file", "algorithms: [ES256], keys: {file"), ("name: cluster", "name: gone")):  # fmt: skip
        text = ISSUERS.lstrip().replace(*other) + client(
            "c0", ACCOUNT.replace("cluster", "gone") if "gone" in other[1] else ACCOUNT
        )
        assert not Clients.from_documents(documents(text)).holds(found, proof, NOW), other


def test_keys_of_an_issuer_come_from_where_its_document_says():
    tokens = clients(ACCOUNT, "oidc: {issuer: login, subject: s}").issuers.tokens
    assert tokens["cluster"].keys == FileKeys("policies/keys.json")
    assert tokens["login"].keys == UrlKeys("https://login.example/keys")
    text = ISSUERS.lstrip().replace("file: keys.json", "cluster: {}")
    text += client("c0", ACCOUNT)
    assert Clients.from_documents(documents(text)).issuers.tokens["cluster"].keys == ClusterKeys()


def test_an_issuer_that_vouches_for_no_client_is_not_asked_for_keys():
    assert set(clients(ACCOUNT).issuers.tokens) == {"cluster"}
    assert clients("apiKeys: []").issuers.tokens == {}


BAD_CLIENTS = [
    (
        "serviceAccount: {issuer: clustr, namespace: mcp, name: server}",
        r"no Issuer of tokens has the name `clustr`. Known",
    ),
    ("serviceAccount: {issuer: cluster, namespace: 'mcp:x', name: server}", r"`mcp:x` is no namespace"),
    ("serviceAccount: {issuer: cluster, namespace: mcp, name: 'a:b'}", r"no name of a ServiceAccount"),
    ("serviceAccount: {issuer: cluster, namespace: mcp}", "`name` is missing"),
    ("serviceAccount: {issuer: cluster, namespace: mcp, name: server, pods: x}", "Did you mean `pod`"),
    ("oidc: {issuer: cluster}", "every token of the issuer would be this client"),
    ("oidc: {issuer: cluster, claims: {groups: [a]}}", "got `array`"),
    ("certificate: {issuer: cluster, uri: 'spiffe://x'}", "no Issuer of certificates has the name `cluster`"),
    ("certificate: {issuer: cluster, uri: a, dns: b}", "exactly one of `uri`, `dns` and `commonName`"),
    ("waits: auto", "the client has no credential"),
]


@pytest.mark.parametrize(("spec", "says"), BAD_CLIENTS)
def test_a_client_that_cannot_be_told_is_refused_at_its_place(spec, says):
    with pytest.raises(DocumentErrors, match=says) as raised:
        clients(spec)
    assert str(raised.value).startswith("policies/identity.yaml:")


MESH = "---\napiVersion: pratique/v1\nkind: Issuer\nmetadata: {name: mesh}\nspec: {certificates: {certificateAuthority: {path: m.pem}}}\n"


@pytest.mark.parametrize(
    ("one", "other", "same"), [("uri: a", "uri: a", True), ("uri: a", "uri: b", False), ("uri: a", "dns: a", False)]
)
def test_clients_with_certificates_are_told_apart_by_their_names(one, other, same):
    text = MESH.removeprefix("---\n") + "".join(
        client(name, f"certificate: {{issuer: mesh, {names}}}") for name, names in (("c0", one), ("c1", other))
    )
    if same:
        with pytest.raises(DocumentErrors, match="client `c0` means the same credentials"):
            Clients.from_documents(documents(text))
    else:
        found = Clients.from_documents(documents(text))
        assert found.names == ("c0", "c1")
        assert found.kinds_of("c0") == ("certificate",)
        assert set(found.issuers.certificates) == {"mesh"}


SAME = [
    (ACCOUNT, ACCOUNT),
    (ACCOUNT, ACCOUNT.replace("name: server", "name: server, uid: sa-1")),
    (ACCOUNT, "oidc: {issuer: cluster, subject: 'system:serviceaccount:mcp:server'}"),
    ("oidc: {issuer: cluster, claims: {a: x}}", "oidc: {issuer: cluster, subject: s, claims: {a: x}}"),
]


@pytest.mark.parametrize("specs", SAME)
def test_two_clients_cannot_mean_the_same_credential(specs):
    for order in (specs, specs[::-1]):
        with pytest.raises(DocumentErrors, match="client `c0` means the same credentials"):
            clients(*order)


@pytest.mark.parametrize(
    "specs",
    [(ACCOUNT, ACCOUNT.replace("cluster", "login")), (ACCOUNT, ACCOUNT.replace("server", "other")),
     (ACCOUNT.replace("}", ", uid: a}"), ACCOUNT.replace("}", ", uid: b}"))],
)  # fmt: skip
def test_clients_that_differ_are_two(specs):
    assert clients(*specs).names == ("c0", "c1")


BAD_ISSUERS = [
    ("{}", "exactly one of `tokens` and `certificates`"),
    ("{tokens: {url: u, audiences: [], keys: {file: k}}}", "no audience"),
    ("{tokens: {url: u, audiences: [''], keys: {file: k}}}", "no audience"),
    ("{tokens: {url: u, keys: {file: k}}}", "`audiences` is missing"),
    ("{tokens: {url: 'a b', audiences: [x], keys: {file: k}}}", "not the `iss` of a token"),
    ("{tokens: {url: u, audiences: [x], keys: {}}}", "exactly one source of keys"),
    ("{tokens: {url: u, audiences: [x], keys: {file: k, cluster: {}}}}", "exactly one source of keys"),
    ("{tokens: {url: u, audiences: [x], keys: {file: ''}}}", "the path is empty"),
    ("{tokens: {url: u, audiences: [x], keys: {url: 'http://i/keys'}}}", "not an https URL"),
    ("{tokens: {url: u, audiences: [x], keys: {url: 'https://a:b@i/keys'}}}", "not an https URL"),
    ("{tokens: {url: u, audiences: [x], keys: {url: 'https://i:port/'}}}", "not an https URL"),
    ("{tokens: {url: u, audiences: [x], keys: {file: k, certificateAuthority: {path: c}}}}", "only an `url`"),
    ("{tokens: {url: u, audiences: [x], keys: {url: 'https://i', certificateAuthority: {}}}}", "exactly one of `path`"),
    ("{tokens: {url: u, audiences: [x], keys: {file: k}, algorithms: [none]}}", "`none` is not known"),
    ("{tokens: {url: u, audiences: [x], keys: {file: k}, algorithms: [HS256]}}", "`HS256` is not known"),
    ("{tokens: {url: u, audiences: [x], keys: {file: k}, algorithms: []}}", "no algorithm is allowed"),
    ("{certificates: {certificateAuthority: {}}}", "exactly one of `path`"),
    ("{certificates: {certificateAuthority: {data: '%'}}}", "it is not base64"),
    ("{certificates: {certificateAuthority: {data: bm9uZQ==}}}", "0 CA certificates"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "says"), BAD_ISSUERS)
def test_an_issuer_that_would_vouch_for_too_much_is_refused_at_its_place(spec, says):
    text = f"apiVersion: pratique/v1\nkind: Issuer\nmetadata: {{name: i}}\nspec: {spec}\n"
    with pytest.raises(DocumentErrors, match=says) as raised:
        Clients.from_documents(documents(text))
    assert str(raised.value).startswith("policies/identity.yaml:")


def test_two_issuers_cannot_have_one_url_and_their_errors_come_with_those_of_clients():
    text = ISSUERS.lstrip().replace("https://login.example,", ISSUER + ",").replace('"https://login.example"', ISSUER)
    with pytest.raises(DocumentErrors) as raised:
        Clients.from_documents(documents(text + client("c0", "apiKeys: [{sha256: x}]")))
    assert "Issuer `cluster` has the same `url`" in str(raised.value)
    assert len(raised.value.errors) == 2
