"""Every row of the leak catalogue that needs a live server (A, B, C, D, E, F4, F12, G, H, L), and what is written down.

Each test hides a value, asks for it in every way of its row, and searches bodies, headers, recordings, approvals and
logs for it: plain, base64 at three offsets, hex, URL- and JSON-escaped (`tests/masking/canary.py`).
"""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from pratique.masking.mask import Mask
from tests.masking.canary import find
from tests.process.gateway import Gateway
from tests.process.leaks import N, Probe

pytestmark = pytest.mark.process
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


# --- A: representations ---


@pytest.mark.parametrize(
    "accept",
    [
        "application/vnd.kubernetes.protobuf",
        "application/vnd.kubernetes.protobuf, application/json",
        "application/yaml",
        "application/cbor",
        "application/cbor-seq",
        "application/json;as=Table;v=v1;g=meta.k8s.io, application/yaml",
        "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
        "*/*",
        "text/html",
        "text/html, */*;q=0.1",
        "application/json;q=0, application/yaml",
    ],
)
def test_leak_a01_a02_a03_a07_whatever_is_accepted_is_answered_in_json(probe: Probe, accept: str) -> None:
    target = probe.plant_secret()
    for path in (target, f"{N}/secrets"):
        answer = probe.get(path, Accept=accept)
        assert answer.code == 200
        assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    "media", ["application/vnd.kubernetes.protobuf", "application/yaml", "application/cbor", "image/png", ""]
)
def test_leak_a01_a02_a03_an_answer_in_another_form_is_not_shown(probe: Probe, media: str) -> None:
    """Where a server behind the API server does as it likes."""
    path = "/apis/metrics.example.com/v1/things"
    with probe.scripted("GET", path, probe.value.encode(), Content_Type=media):
        assert probe.get(path).code == 502


def test_leak_a01_an_answer_of_two_forms_is_not_shown(probe: Probe) -> None:
    """Clients may read the second content type."""
    path = "/apis/metrics.example.com/v1/things"
    both = {"Content_Type": "text/plain", "content-type": "application/vnd.kubernetes.protobuf"}
    with probe.scripted("GET", path, b"k8s\0" + probe.value.encode(), **both):
        assert probe.get(path).code == 502


def test_leak_a04_rows_of_a_table_hold_annotations(probe: Probe) -> None:
    probe.plant_secret(metadata={"annotations": {APPLIED: json.dumps(probe.secret())}})
    answer = probe.get(f"{N}/secrets", Accept=TABLE)
    assert answer.json["kind"] == "Table"
    assert any(row["cells"][0] == probe.name for row in answer.json["rows"])


def test_leak_a05_include_object_shows_whole_secrets(probe: Probe) -> None:
    target = probe.plant_secret()
    for path in (f"{N}/secrets?includeObject=Object", f"{target}?includeObject=Object"):
        answer = probe.get(path, Accept=TABLE)
        assert "data" in answer.json["rows"][0]["object"]


def test_leak_a06_partial_objects_hold_annotations(probe: Probe) -> None:
    target = probe.plant_secret(metadata={"annotations": {APPLIED: json.dumps(probe.secret())}})
    assert probe.get(target, Accept=PARTIAL).json["kind"] == "PartialObjectMetadata"
    probe.get(f"{N}/secrets", Accept=PARTIAL.replace("Metadata", "MetadataList"))


def test_leak_a08_a_compressed_answer_is_not_asked_for(probe: Probe) -> None:
    filler = base64.b64encode(b"x" * 150_000).decode()
    target = probe.plant_secret(data={"filler": filler, "password": probe.encoded})
    answer = probe.get(target, Accept_Encoding="gzip, br, zstd")
    assert "content-encoding" not in answer.headers
    assert answer.json["metadata"]["name"] == probe.name


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "x-unknown"])
def test_leak_a08_an_answer_that_is_compressed_all_the_same_is_not_shown(probe: Probe, coding: str) -> None:
    path = "/apis/metrics.example.com/v1/compressed"
    body = gzip.compress(json.dumps(probe.secret()).encode())
    with probe.scripted("GET", path, body, Content_Encoding=coding):
        answer = probe.get(path)
    assert answer.code == 502
    assert body not in answer.body


def test_leak_a09_pretty_printing_changes_nothing(probe: Probe) -> None:
    target = probe.plant_secret()
    for value in ("true", "1", "false"):
        assert probe.get(f"{target}?pretty={value}").code == 200
    pretty = json.dumps(probe.secret(), indent=2).encode()
    with probe.scripted("GET", f"{N}/secrets/pretty", pretty):
        assert probe.get(f"{N}/secrets/pretty").code == 200


def test_leak_a10_a_value_that_is_cut_over_chunks_is_still_one(probe: Probe) -> None:
    body = json.dumps(
        {"kind": "SecretList", "items": [probe.secret() for _ in range(50)]}, separators=(",", ":")
    ).encode()
    path = f"{N}/secrets"
    with probe.scripted("GET", path, *[body[index : index + 977] for index in range(0, len(body), 977)]):
        answer = probe.get(path)
    assert len(answer.json["items"]) == 50


def test_leak_a11_head_has_no_body(probe: Probe) -> None:
    target = probe.plant_secret()
    answer = probe.call("HEAD", target)
    assert answer.body == b""


# --- B: watches and lists ---


@pytest.mark.parametrize("query", ["watch=1", "watch=true", "watch", "watch=", "watch=garbage", "%77atch=1"])
def test_leak_b01_b04_a_watch_in_any_spelling(probe: Probe, query: str) -> None:
    probe.plant_secret(metadata={"labels": {"probe": probe.name}})
    target = f"{N}/secrets?{query}&labelSelector=probe%3D{probe.name}&timeoutSeconds=3"
    if query == "watch=garbage":  # the server reads it as true; the gateway takes no guess
        assert probe.get(target).code in {200, 400}
        return
    assert b"ADDED" in probe.stream(target, b'"name":"' + probe.name.encode())


def test_leak_b02_a_deleted_event_carries_the_last_state(probe: Probe) -> None:
    target = probe.plant_secret(metadata={"labels": {"probe": probe.name}})
    selector = f"labelSelector=probe%3D{probe.name}"
    version = probe.get(f"{N}/secrets?{selector}").json["metadata"]["resourceVersion"]
    assert probe.gateway.behind("DELETE", target).code == 200
    seen = probe.stream(f"{N}/secrets?watch=1&{selector}&resourceVersion={version}&timeoutSeconds=20", b'"DELETED"')
    assert b'"data"' in seen


def test_leak_b03_initial_events_and_their_bookmark(probe: Probe) -> None:
    probe.plant_secret()
    query = (
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=20"
    )
    assert b"k8s.io/initial-events-end" in probe.stream(f"{N}/secrets?{query}", b'"BOOKMARK"')


def test_leak_b05_the_watch_prefix(probe: Probe) -> None:
    target = probe.plant_secret()
    for path in (target.replace("/v1/", "/v1/watch/"), f"{N}/secrets".replace("/v1/", "/v1/watch/")):
        assert probe.get(f"{path}?timeoutSeconds=1").code in {200, 400, 403}


def test_leak_b06_protobuf_frames_are_not_asked_for(probe: Probe) -> None:
    probe.plant_secret()
    answer = probe.get(
        f"{N}/secrets?watch=1&timeoutSeconds=1", Accept="application/vnd.kubernetes.protobuf;stream=watch"
    )
    assert answer.headers["content-type"].startswith("application/json")


def test_leak_b06_a_watch_that_is_no_json_is_not_begun(probe: Probe) -> None:
    path = "/apis/metrics.example.com/v1/watched"
    with (
        probe.scripted("GET", path, b"\0\0\0\x10" + probe.value.encode(), Content_Type="application/octet-stream"),
        pytest.raises(OSError),
    ):
        probe.get(f"{path}?watch=1")
    probe.outputs.append(b"-")


def test_leak_b07_a_table_watch(probe: Probe) -> None:
    probe.plant_secret()
    answer = probe.get(f"{N}/secrets?watch=1&timeoutSeconds=1&includeObject=Object", Accept=TABLE)
    assert answer.body.count(b'"Table"') > 1


def test_leak_b08_a_watch_over_websocket_becomes_an_ordinary_one(probe: Probe) -> None:
    probe.plant_secret()
    handshake = {"Connection": "Upgrade", "Upgrade": "websocket", "Origin": "http://x", "Sec-WebSocket-Version": "13",
                 "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
    answer = probe.gateway.call("GET", f"{N}/secrets?watch=1&timeoutSeconds=1", headers=handshake)
    probe.outputs += [answer.body, repr(answer.headers).encode()]
    assert answer.code == 200
    assert answer.headers["content-type"].startswith("application/json")


def test_leak_b09_an_error_event_quotes_values(probe: Probe) -> None:
    """Known ones: the client has seen the Secret."""
    probe.get(probe.plant_secret())
    status = {"kind": "Status", "apiVersion": "v1", "message": f"bad {probe.value} and {probe.encoded}", "code": 410}
    event = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
    with probe.scripted("GET", f"{N}/configmaps", event, b"\n"):
        assert b"ERROR" in probe.stream(f"{N}/configmaps?watch=1", b"ERROR")


def test_leak_b10_b11_pages_and_all_namespaces(probe: Probe) -> None:
    probe.plant_secret()
    page = probe.get("/api/v1/secrets?limit=1").json
    while page["metadata"].get("continue"):
        page = probe.get(f"/api/v1/secrets?limit=2&continue={page['metadata']['continue']}").json
    answer = probe.get("/api/v1/namespaces//secrets")
    assert answer.code in {200, 400}


# --- C: answers of writes, Status, warnings ---


def test_leak_c01_the_answers_of_writes(probe: Probe) -> None:
    made = probe.call("POST", f"{N}/secrets", probe.secret(data={}, stringData={"password": probe.value}))
    assert made.code == 201
    target = f"{N}/secrets/{probe.name}"
    put = probe.call("PUT", target, probe.secret(data={"password": probe.encoded, "more": "eA=="}))
    assert put.code == 200, put.body
    merge = "application/merge-patch+json"
    assert probe.call("PATCH", target, {"metadata": {"labels": {"a": "b"}}}, Content_Type=merge).code == 200
    applied = probe.secret(data={}, stringData={"applied": probe.value})
    query = "fieldManager=agent&force=true"
    assert probe.call("PATCH", f"{target}?{query}", applied, Content_Type="application/apply-patch+yaml").code == 200
    assert "applied" in probe.get(target).json["data"]


def test_leak_c02_c04_dry_runs_are_reads(probe: Probe) -> None:
    target = probe.plant_secret(metadata={"finalizers": ["example.com/keep"]})
    patched = probe.call("PATCH", f"{target}?dryRun=All", {}, Content_Type="application/merge-patch+json")
    assert "password" in patched.json["data"]
    deleted = probe.call("DELETE", f"{target}?dryRun=All")
    assert deleted.code == 200 and "password" in deleted.json["data"]


def test_leak_c03_deletecollection_answers_with_the_objects(probe: Probe) -> None:
    probe.plant_secret(metadata={"labels": {"probe": probe.name}})
    answer = probe.call("DELETE", f"{N}/secrets?dryRun=All&labelSelector=probe%3D{probe.name}")
    assert answer.code == 200, answer.body
    assert answer.json["items"][0]["data"].keys() == {"password"}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "copy", "from": "/data/password", "path": "/metadata/annotations/x"},
        {"op": "copy", "from": "/data/password", "path": "/metadata/labels/x"},
        {"op": "move", "from": "/data/password", "path": "/type"},
        {"op": "copy", "from": "/data", "path": "/stringData"},
        {"op": "test", "path": "/data/password", "value": "Z3Vlc3M="},
    ],
)
def test_leak_c05_c06_c07_json_patches_do_not_read(probe: Probe, operation: Any) -> None:
    target = probe.plant_secret()
    before = len(probe.gateway.sandbox.requests)
    answer = probe.call("PATCH", target, [operation], Content_Type="application/json-patch+json")
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert len(probe.gateway.sandbox.requests) == before
    twice = b'[{"op":"test","op":"copy","from":"/data/password","path":"/metadata/annotations/x","value":1}]'
    assert probe.call("PATCH", target, twice, Content_Type="application/json-patch+json").code in {400, 422}


def test_leak_c06_a_denial_quotes_the_immutable_value(probe: Probe) -> None:
    text = f'Secret "s" is invalid: type: Invalid value: "{probe.encoded}": field is immutable'
    causes = [{"reason": "FieldValueInvalid", "message": f'Invalid value: "{probe.encoded}"', "field": "type"}]
    status = {"kind": "Status", "status": "Failure", "message": text, "details": {"causes": causes}, "code": 422}
    with probe.scripted("PATCH", f"{N}/secrets/c06", status, code=422):
        answer = probe.call("PATCH", f"{N}/secrets/c06", {"type": "x"}, Content_Type="application/merge-patch+json")
    assert answer.code == 422
    assert "is invalid: type" in answer.json["message"]


@pytest.mark.parametrize("guess", [True, False], ids=["right", "wrong"])
def test_leak_c08_a_dry_run_does_not_tell_whether_a_guess_was_right(probe: Probe, guess: bool) -> None:
    target = probe.plant_secret()
    value = probe.encoded if guess else base64.b64encode(b"another-value").decode()
    answer = probe.call("PUT", f"{target}?dryRun=All", probe.secret(data={"password": value}))
    live = probe.get(target)
    assert answer.code == 200
    assert answer.json == live.json
    assert "managedFields" not in answer.json["metadata"]


def test_leak_c09_an_immutable_secret_is_a_question_of_policy() -> None:
    """The server answers 200 or 422: only who may write can be decided. The shipped policies ask a person for any write."""
    from pratique.documents import read_folder
    from pratique.kube.canonical import RawRequest, canonicalise
    from pratique.policy.decision import compile_policies
    from pratique.policy.request import PolicyRequest
    from pratique.verdict import Action
    from tests.process.gateway import ROOT

    policies = compile_policies(read_folder(ROOT / "policies"))
    for method, query in (("PATCH", "?dryRun=All"), ("PUT", "?dryRun=All"), ("PATCH", "")):
        media = b"application/merge-patch+json" if method == "PATCH" else b"application/json"
        body = b'{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"a":"Z3Vlc3M="}}'
        headers = ((b"content-type", media), (b"content-length", str(len(body)).encode()))
        raw = RawRequest(method.encode(), f"{N}/secrets/s{query}".encode(), headers, body)
        for client in ("mcp-a", "viewer-a"):
            verdict = policies.decide(PolicyRequest.from_canonical(client, canonicalise(raw), {}))
            assert verdict.action is not Action.ALLOW, (method, query, client)


def test_leak_c11_f12_a_token_request_is_a_working_token_even_dry(probe: Probe) -> None:
    for query in ("", "?dryRun=All"):
        answer = probe.call("POST", f"{N}/serviceaccounts/default/token{query}", {"spec": {"audiences": ["x"]}})
        assert answer.code == 201, answer.body
        token = answer.json["status"]["token"]
        assert token.startswith("**masked")
        assert b"eyJ" not in answer.body
    issued = probe.gateway.sandbox.call(lambda cluster: list(cluster.authenticator.issued))
    assert issued
    for token in issued:
        assert find(answer.body, probe.gateway.recorded(), value=token) == []


def test_leak_c12_a_token_review_echoes_the_token(probe: Probe) -> None:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": probe.value}}
    assert probe.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review).code == 201


def test_leak_c13_a_parse_error_quotes_the_body(probe: Probe) -> None:
    answer = probe.call("POST", f"{N}/secrets", f"{probe.value} is no JSON".encode())
    assert answer.code == 400


@pytest.mark.parametrize("header", ["Warning", "warning"])
def test_leak_c15_warnings_quote_values(probe: Probe, header: str) -> None:
    probe.get(probe.plant_secret())
    path = f"{N}/configmaps/c15"
    texts = {header: f'299 - "denied: {probe.value} {probe.encoded}"'}
    with probe.scripted("GET", path, {"kind": "ConfigMap", "metadata": {"name": "c15"}}, **texts):
        answer = probe.get(path)
    assert answer.headers["warning"].startswith('299 - "denied: ')


def test_leak_c15_other_headers_of_a_server_behind_do_not_pass(probe: Probe) -> None:
    path = "/apis/metrics.example.com/v1/headers"
    headers = {"X_Secret": probe.value, "Set_Cookie": f"a={probe.value}", "Location": f"https://u:{probe.value}@h/", "Server": probe.value,
               "WWW_Authenticate": probe.value, "Link": probe.value}  # fmt: skip
    with probe.scripted("GET", path, {}, **headers):
        assert probe.get(path).code == 200


def test_leak_c16_h1_a_denial_says_what_its_author_wants(probe: Probe) -> None:
    """An admission policy with `string(oldObject.data.password)` in its message."""
    probe.get(probe.plant_secret())
    text = f"ValidatingAdmissionPolicy 'p' denied request: {probe.encoded} ({probe.value})"
    status = {
        "kind": "Status",
        "status": "Failure",
        "message": text,
        "details": {"causes": [{"message": text}]},
        "code": 422,
    }
    with probe.scripted("POST", f"{N}/configmaps", status, code=422):
        answer = probe.call(
            "POST", f"{N}/configmaps?dryRun=All", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
        )
    assert "denied request" in answer.json["message"]


# --- E: oracles ---


def test_leak_e_field_selectors_do_not_ask_for_masked_fields(probe: Probe) -> None:
    before = len(probe.gateway.sandbox.requests)
    for target in (
        f"{N}/secrets?fieldSelector=data.password%3D{probe.encoded}",
        "/apis/shop.example.com/v1/things?fieldSelector=spec.password%3Dx",
    ):
        answer = probe.get(target)
        assert (answer.code, answer.reason) == (403, "Forbidden")
    assert len(probe.gateway.sandbox.requests) == before


@pytest.mark.parametrize("size", [1, 20, 3000])
def test_leak_e_the_length_of_a_value_does_not_show(probe: Probe, size: int) -> None:
    target = probe.plant_secret(data={"password": base64.b64encode(b"x" * size).decode()})
    answer = probe.get(target)
    assert len(answer.json["data"]["password"]) == len(Mask().base64)
    assert int(answer.headers["content-length"]) == len(answer.body)


# --- F4: logs ---


@pytest.mark.parametrize("query", ["", "&timestamps=true", "&tailLines=3", "&follow=true"])
def test_leak_f04_logs_by_pattern(probe: Probe, query: str) -> None:
    pod = next(item for item in probe.get(f"{N}/pods").json["items"] if item["metadata"]["name"].startswith("api"))[
        "metadata"
    ]["name"]
    for line in (
        f"password={probe.value}",
        f"pg://u:{probe.value}@db/x",
        f"Authorization: Bearer {probe.value}-aaaaaaaaaa",
        f"done {probe.name}",
    ):
        probe.gateway.sandbox.append_log("payments", pod, "api", line)
    target = f"{N}/pods/{pod}/log?container=api{query}"
    if "follow" in query:
        probe.stream(target, f"done {probe.name}".encode())
    else:
        assert f"done {probe.name}" in probe.get(target).body.decode()


def test_leak_f04_logs_by_known_value(probe: Probe) -> None:
    probe.get(probe.plant_secret())
    pod = next(item for item in probe.get(f"{N}/pods").json["items"] if item["metadata"]["name"].startswith("api"))[
        "metadata"
    ]["name"]
    for form in (probe.value, probe.encoded, probe.value.encode().hex()):
        probe.gateway.sandbox.append_log("payments", pod, "api", f"env {form} end {probe.name}")
    assert probe.get(f"{N}/pods/{pod}/log?container=api").body.decode().count(f"end {probe.name}") == 3


def test_leak_f06_what_a_proxied_application_says_is_text(probe: Probe) -> None:
    path = f"{N}/services/web/proxy/actuator/env"
    with probe.scripted("GET", path, {"property": {"password": {"value": "x"}, "note": f"password={probe.value}"}}):
        probe.get(path)
    with probe.scripted("GET", path, f"token: {probe.value}\nok\n".encode(), Content_Type="text/plain; charset=utf-8"):
        assert probe.get(path).body.endswith(b"ok\n")
    with probe.scripted("GET", path, probe.value.encode(), Content_Type="application/octet-stream"):
        assert probe.get(path).code == 502


# --- G: endpoints that are no resources ---


def test_leak_g_metrics_are_text(probe: Probe) -> None:
    text = f'webhook{{url="https://u:{probe.value}@h/",token="x"}} 1\npassword="{probe.value}"\n'
    with probe.scripted("GET", "/metrics", text.encode(), Content_Type="text/plain; version=0.0.4"):
        assert probe.get("/metrics").code == 200
    with probe.scripted("GET", "/debug/pprof/heap", probe.value.encode(), Content_Type="application/octet-stream"):
        assert probe.get("/debug/pprof/heap").code == 502


# --- H: made to reveal ---

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "vaults.leaks.example.com"},
    "spec": {
        "group": "leaks.example.com",
        "scope": "Namespaced",
        "names": {"plural": "vaults", "kind": "Vault", "singular": "vault"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                "additionalPrinterColumns": [
                    {"name": "Password", "type": "string", "jsonPath": ".spec.password"},
                    {"name": "Pin", "type": "integer", "jsonPath": ".spec.pin"},
                    {"name": "Note", "type": "string", "jsonPath": ".spec.note"},
                ],
            }
        ],
    },
}
VAULTS = "/apis/leaks.example.com/v1/namespaces/payments/vaults"


@pytest.fixture(scope="session")
def vaults(sandbox: Any, open_gateway: Gateway) -> str:
    if open_gateway.behind("GET", "/apis/leaks.example.com/v1").code == 404:
        assert open_gateway.behind("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD).code == 201
    return VAULTS


def test_leak_h04_printer_columns_over_secret_fields(probe: Probe, vaults: str) -> None:
    spec = {"password": probe.value, "note": f"token={probe.value}"}
    probe.plant(
        vaults, {"apiVersion": "leaks.example.com/v1", "kind": "Vault", "metadata": {"name": probe.name}, "spec": spec}
    )
    for query in ("", "?includeObject=Object", "?includeObject=None"):
        rows = probe.get(f"{vaults}{query}", Accept=TABLE).json["rows"]
        assert probe.name in [row["cells"][0] for row in rows]
    probe.stream_table = probe.get(f"{vaults}?watch=1&timeoutSeconds=1", Accept=TABLE)  # type: ignore[attr-defined]


def test_leak_h05_a_mirror_of_a_secret_the_client_has_read(probe: Probe) -> None:
    probe.get(probe.plant_secret())
    mirror = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": probe.name, "annotations": {"mirrored": f"x {probe.value}"}},
              "spec": {"ports": [{"port": 80}]}}  # fmt: skip
    probe.plant(f"{N}/services", mirror)
    assert probe.get(f"{N}/services/{probe.name}").json["metadata"]["name"] == probe.name


# --- L: what is written down ---


def test_leak_l_what_a_client_sends_is_not_written_down(probe: Probe) -> None:
    """Bodies, queries, credentials, argv; also of a request that waits for a person."""
    assert probe.call("POST", f"{N}/secrets", probe.secret(data={}, stringData={"password": probe.value})).code == 201
    configmap = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": probe.name},
        "data": {"db.password": probe.value},
    }
    assert probe.call("POST", f"{N}/configmaps", configmap).code == 201
    probe.call("PATCH", f"{N}/secrets/{probe.name}", [{"op": "replace", "path": "/data/password", "value": probe.encoded}],
               Content_Type="application/json-patch+json")  # fmt: skip
    probe.get(f"{N}/pods?access_token={probe.value}")
    probe.get(
        f"{N}/pods", Cookie=f"session={probe.value}", Proxy_Authorization=f"Bearer {probe.value}", X_Api_Key=probe.value
    )
    protocols = f"base64url.bearer.authorization.k8s.io.{base64.urlsafe_b64encode(probe.value.encode()).decode()}"
    probe.get(f"{N}/pods/x/exec?command=id", Sec_WebSocket_Protocol=protocols)
    command = f"command=mysql&command=-p{probe.value}&command=--password%3D{probe.value}&command=--token&command={probe.value}"
    probe.get(f"{N}/pods/x/exec?{command}&stdout=true")
    waiting = probe.call("DELETE", f"{N}/services/{probe.name}", {"kind": "DeleteOptions", "apiVersion": "v1"})
    assert waiting.reason == "ApprovalPending"


def test_leak_l_a_failed_response_does_not_reach_the_log(probe: Probe) -> None:
    path = "/apis/metrics.example.com/v1/broken"
    for body in (probe.value.encode(), b'{"a":"' + probe.value.encode(), b"\xff" + probe.value.encode()):
        with probe.scripted("GET", path, body):
            answer = probe.get(path)
        assert answer.code == 502
        assert "error id" in answer.json["message"]


def test_leak_l_control_characters_do_not_reach_a_terminal(probe: Probe) -> None:
    answer = probe.get(f"{N}/secrets/foo%0d%0aX%1b%5b31m")
    assert b"\x1b" not in answer.body + probe.gateway.log.read_bytes()
