"""Section 2 of the threat list: framing, headers, credentials, as far as they are seen without a socket. One test per row."""

from __future__ import annotations

import pytest

from pratique.errors import Refused
from pratique.kube.canonical import RawRequest, canonicalise, headers_only
from pratique.kube.status import from_refused
from tests.kube.requests import EXEC, POD, PODS, WEBSOCKET, canonical, header, raw, refusal

JSON = ("Content-Type", "application/json")


@pytest.mark.parametrize(
    ("headers", "rule"),
    [
        ([("Transfer-Encoding", "chunked"), ("Content-Length", "2")], "framing/both-lengths"),
        ([("Content-Length", "2"), ("Content-Length", "2")], "header/duplicate"),
        ([("Content-Length", "+2")], "framing/content-length"),
        ([("Content-Length", "3")], "framing/content-length"),
        ([("Content-Length", "")], "framing/content-length"),
        ([("Transfer-Encoding", "xchunked")], "framing/transfer-encoding"),
        ([("Transfer-Encoding", "gzip, chunked")], "framing/transfer-encoding"),
        ([("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], "header/duplicate"),
        ([("Authorization ", "Bearer x")], "header/name"),
        ([("", "x")], "header/name"),
        ([("X", "a\x00b")], "header/value"),
        ([("X", "a\r\n b")], "header/value"),
        ([("Host", "a"), ("Host", "b")], "header/duplicate"),
        ([(f"X-{n}", "") for n in range(257)], "header/count"),
    ],
)
def test_bypass_2_01_ambiguous_framing(headers, rule):
    assert refusal("POST", PODS, [JSON, *headers], b"{}") == rule


def test_bypass_2_01_chunked_with_outer_spaces_is_one_framing():
    assert canonical("POST", PODS, [JSON, ("Transfer-Encoding", " chunked")], b"{}").body == b"{}"
    assert (
        refusal("POST", PODS, [JSON, ("Transfer-Encoding", "chunked")], b"{}", "HTTP/1.0")
        == "framing/transfer-encoding"
    )


@pytest.mark.parametrize("version", ["HTTP/0.9", "http/1.1", "HTTP/3.0", ""])
def test_bypass_2_01_versions(version):
    assert refusal("GET", POD, version=version) == "line/version"


def test_bypass_2_01_a_body_where_none_is_taken():
    assert refusal("GET", POD, body=b"GET / HTTP/1.1\r\n\r\n") == "body/unexpected"
    assert refusal("POST", EXEC, body=b"{}") == "body/unexpected"
    assert canonical("POST", EXEC).body == b""


def test_bypass_2_02_trailers_and_2_03_expect_are_not_sent():
    request = canonical("GET", POD, {"Trailer": "Authorization", "TE": "trailers", "Expect": "100-continue"})
    assert [name for name, _ in request.headers] == [b"Accept", b"Accept-Encoding"]


def test_bypass_2_03_a_body_over_the_limit_is_refused_before_and_after_it_is_read():
    huge = {"Content-Length": str(3145729), "Content-Type": "application/json"}
    with pytest.raises(Refused, match="3145728") as caught:
        headers_only(raw("POST", PODS, huge))
    assert (caught.value.code, caught.value.rule) == (413, "body/too-large")
    assert refusal("POST", PODS, [JSON], b"[" * 3145729) == "body/too-large"


@pytest.mark.parametrize("named", ["close, Authorization", "Impersonate-User", "Accept", "Upgrade, Authorization"])
def test_bypass_2_04_hop_by_hop_names_reach_nobody(named):
    request = canonical("GET", POD, {"Connection": named, "Keep-Alive": "1", "Proxy-Connection": "x"})
    assert header(request, "Connection") == header(request, "Keep-Alive") == header(request, "Proxy-Connection") == []


def test_bypass_2_05_every_authorization_is_removed():
    request = canonical("GET", POD, [("Authorization", "Bearer a"), ("authorization", "Bearer b")])
    assert header(request, "Authorization") == []


@pytest.mark.parametrize(
    "protocol", ["base64url.bearer.authorization.k8s.io.c2VjcmV0", "BASE64URL.bearer.authorization.k8s.io.c2VjcmV0"]
)
@pytest.mark.parametrize("target", [EXEC, POD])
def test_bypass_2_06_a_bearer_sub_protocol_is_refused_and_not_repeated(protocol, target):
    with pytest.raises(Refused) as caught:
        canonicalise(raw("GET", target, WEBSOCKET | {"Sec-WebSocket-Protocol": f"v5.channel.k8s.io, {protocol}"}))
    assert caught.value.rule == "header/bearer-subprotocol"
    assert b"c2Vj" not in from_refused(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "Impersonate-User",
        "impersonate-user",
        "iMpErSoNaTe-UsEr",
        "Impersonate_User",
        "Impersonate-Group",
        "IMPERSONATE-UID",
        "Impersonate-Extra-scopes",
    ],
)
@pytest.mark.parametrize("value", ["admin", ""])
def test_bypass_2_07_impersonation_is_refused_in_every_spelling(name, value):
    assert refusal("GET", POD, {name: value}) == "header/impersonate"


@pytest.mark.parametrize(
    "name",
    [
        *("X-Remote-User", "x-remote-group", "X-Remote-Extra-a", "X-Remote-Uid"),  # 2.8
        *("X-Forwarded-Client-Cert", "X-SSL-Client-Cert", "Client-Cert"),  # 2.9
        *("Cookie", "Proxy-Authorization"),  # 2.10
        *("Kubectl-Command", "Kubectl-Session"),  # 2.15
        *("Audit-ID", "Host", "Content-Length", "Range", "traceparent", "X-Unknown"),
    ],
)
def test_bypass_2_08_to_2_10_and_2_14_only_the_allow_list_is_sent(name):
    assert header(canonical("GET", POD, {name: "0"}), name) == []


def test_bypass_2_10_tokens_in_a_query_are_dropped_also_for_proxied_applications():
    assert canonical("GET", POD + "?access_token=a&token=b").query == ()
    request = canonical("GET", POD + "/proxy/x?access_token=a&Token=b&b=2&a=1&b=1")
    assert request.query == (("a", "1"), ("b", "2"), ("b", "1"))


@pytest.mark.parametrize("upgrade", ["h2c", "foo", "websocket", "SPDY/3.1"])
@pytest.mark.parametrize("target", [POD, PODS + "?watch=1", "/api/v1/nodes/n1/proxy/exec/a/b/c", POD + "/log"])
def test_bypass_2_11_upgrades_elsewhere_are_stripped(upgrade, target):
    request = canonical(
        "GET", target, WEBSOCKET | {"Upgrade": upgrade, "HTTP2-Settings": "AAMAAABk", "Origin": "http://x"}
    )
    assert request.upgrade == ""
    assert {name for name, _ in request.headers} == {b"Accept", b"Accept-Encoding"}


def test_bypass_2_11_an_unknown_upgrade_of_exec_is_refused():
    assert refusal("GET", EXEC, WEBSOCKET | {"Upgrade": "h2c"}) == "upgrade/protocol"
    assert refusal("POST", EXEC, WEBSOCKET) == "upgrade/method"
    assert refusal("GET", EXEC, WEBSOCKET | {"Sec-WebSocket-Version": "12"}) == "upgrade/protocol"
    assert canonical("PUT", EXEC, WEBSOCKET).upgrade == "", "the server answers 405"
    assert canonical("GET", EXEC, WEBSOCKET | {"Connection": "close"}).upgrade == ""


@pytest.mark.parametrize("fields", [((b":path", b"/"),), ((b"x", b"a\r\nHost: b"),), ((b"x y", b"a"),)])
def test_bypass_2_12_what_http2_could_smuggle_into_http1(fields):
    with pytest.raises(Refused, match=r"malformed header name|control character"):
        canonicalise(RawRequest(b"GET", POD.encode(), fields, b"", "HTTP/2.0"))
    assert refusal("GET ", POD, version="HTTP/2.0") == "line/method"
    assert refusal("CONNECT", POD, version="HTTP/2.0") == "line/method"
    assert refusal("GET", "https://h" + POD, version="HTTP/2.0") == "target/form"


def test_bypass_2_15_the_user_agent_is_a_claim_of_printable_text():
    assert header(canonical("GET", POD, {"User-Agent": "kubectl/v1.36"}), "User-Agent") == ["kubectl/v1.36"]
    assert header(canonical("GET", POD, {"User-Agent": "k\xe9"}), "User-Agent") == []


def test_bypass_5_06_only_sub_protocols_that_can_be_read():
    request = canonical(
        "GET",
        EXEC,
        WEBSOCKET | {"Sec-WebSocket-Protocol": "base64.channel.k8s.io,v4.channel.k8s.io, v5.channel.k8s.io"},
    )
    assert (request.upgrade, request.subprotocols) == ("websocket", ("v4.channel.k8s.io", "v5.channel.k8s.io"))
    assert header(request, "Sec-WebSocket-Protocol") == ["v4.channel.k8s.io, v5.channel.k8s.io"]
    for offered in ("", "channel.k8s.io", "base64.channel.k8s.io", "v3.channel.k8s.io"):
        assert refusal("GET", EXEC, WEBSOCKET | {"Sec-WebSocket-Protocol": offered}) == "upgrade/subprotocol"


def test_spdy_and_port_forward_offers():
    versions = [
        ("X-Stream-Protocol-Version", v) for v in ("v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io")
    ]
    spdy = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
    request = canonical("POST", EXEC, [*spdy, *versions])
    assert (request.upgrade, request.subprotocols) == ("SPDY/3.1", ("v5.channel.k8s.io", "v4.channel.k8s.io"))
    assert header(request, "X-Stream-Protocol-Version") == list(request.subprotocols)
    tunnel = canonical(
        "GET", POD + "/portforward?ports=80", WEBSOCKET | {"Sec-WebSocket-Protocol": "SPDY/3.1+portforward.k8s.io"}
    )
    assert tunnel.subprotocols == ("SPDY/3.1+portforward.k8s.io",)
    forward = canonical("POST", POD + "/portforward", [*spdy, ("X-Stream-Protocol-Version", "portforward.k8s.io")])
    assert forward.subprotocols == ("portforward.k8s.io",)


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
DISCOVERY = "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io"


@pytest.mark.parametrize(
    ("accept", "sent"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        ("application/vnd.kubernetes.protobuf, application/json", "application/json"),
        ("application/vnd.kubernetes.protobuf;stream=watch", "application/json;stream=watch"),
        (
            f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
        ),
        ("application/vnd.kubernetes.protobuf;g=meta.k8s.io;v=v1;as=Table", TABLE),
        (
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
        ),
        (f"{DISCOVERY},application/json", f"{DISCOVERY},application/json"),
        (f"{DISCOVERY};profile=nopeer", f"{DISCOVERY};profile=nopeer"),
        ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", "application/json"),
        ("application/yaml;q=0.9, application/json;as=Secret;v=v1;g=x", "application/json"),
        (f"application/json;q=0.1,{TABLE};q=0.9", f"{TABLE},application/json"),
        ("application/json;q=0", "application/json"),
        ("a" * 5000, "application/json"),
    ],
)
def test_accept_is_rewritten_to_json_forms_and_never_refused(accept, sent):
    request = canonical("GET", POD, {"Accept": accept, "Accept-Encoding": "gzip"})
    assert header(request, "Accept") == [sent]
    assert header(request, "Accept-Encoding") == ["identity"]


def test_conditional_requests_pass_for_openapi_only_and_proxied_accept_is_the_application_s():
    assert header(canonical("GET", "/openapi/v2", {"If-None-Match": '"a"'}), "If-None-Match") == ['"a"']
    assert header(canonical("GET", POD, {"If-None-Match": '"a"'}), "If-None-Match") == []
    assert header(canonical("GET", POD + "/proxy/", {"Accept": "text/html"}), "Accept") == ["text/html"]
    assert header(canonical("GET", POD + "/proxy/"), "Accept") == ["*/*"]


def test_the_public_schema_is_the_only_thing_that_is_served_as_protobuf():
    old = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    assert header(canonical("GET", "/openapi/v2?timeout=32s", {"Accept": old}), "Accept") == [old]
    for target in ("/openapi/v3", "/api/v1/namespaces/default/secrets", "/openapi/v2/x", "/version"):
        assert header(canonical("GET", target, {"Accept": old}), "Accept") == ["application/json"]


@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward"])
def test_streams_are_asked_for_in_any_form_since_the_server_has_no_json_of_them(subresource):
    headers = {"Accept": "application/json", "Upgrade": "SPDY/3.1", "Connection": "Upgrade",
               "X-Stream-Protocol-Version": "portforward.k8s.io" if subresource == "portforward" else "v4.channel.k8s.io"}  # fmt: skip
    assert header(canonical("POST", f"{POD}/{subresource}", headers), "Accept") == ["*/*"]
