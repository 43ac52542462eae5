"""Each row of the leak catalogue that concerns responses (A, B, C, D, H), at the pure level, under the default policy."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from pratique.errors import MaskError
from tests.masking.canary import VALUE, b64, find
from tests.masking.session import Session

N = "/api/v1/namespaces/t1"
S1 = f"{N}/secrets/s1"
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
TABLE = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "1"}}


def secret(**more: Any) -> dict[str, Any]:
    metadata = {"name": "s1", "namespace": "t1", "annotations": {"note": VALUE, "encoded": b64()}}
    return {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": metadata,
        "data": {"password": b64()},
        "type": "Opaque",
        **more,
    }


def item() -> dict[str, Any]:
    return {key: value for key, value in secret().items() if key not in {"kind", "apiVersion"}}


def check(session: Session, target: str, document: Any, method: str = "GET") -> Any:
    """Masks, finds no canary, and gives the shown document back."""
    masked = session.body(target, document, method)
    assert find(masked.body, masked.summary) == []
    assert masked.hits
    return json.loads(masked.body)


def event(kind: str, document: Any) -> bytes:
    return json.dumps({"type": kind, "object": document}, separators=(",", ":")).encode() + b"\n"


# --- A: representations ---


@pytest.mark.parametrize(
    ("row", "content_type", "body"),
    [
        ("A1", "application/vnd.kubernetes.protobuf", b"k8s\0" + VALUE.encode()),
        ("A2", "application/yaml", f"data:\n  password: {b64()}\n".encode()),
        ("A2", "text/yaml", f"data:\n  password: {b64()}\n".encode()),
        ("A3", "application/cbor", b"\xd9\xd9\xf7" + VALUE.encode()),
        ("A8", "application/gzip", gzip.compress(VALUE.encode(), mtime=0)),
        ("-", "", b"whatever"),
        ("-", "application/json", b"k8s\0" + VALUE.encode()),
        ("-", "application/json", json.dumps(secret()).encode()[:-5]),
        ("-", "application/json", b"[" * 100_000),
        ("-", "application/json", b"\xff\xfe"),
    ],
)
def test_a1_a2_a3_what_cannot_be_parsed_is_not_shown(
    session: Session, row: str, content_type: str, body: bytes
) -> None:
    with pytest.raises(MaskError):
        session.body(S1, body, content_type=content_type)


def test_a4_a_table_row_holds_annotations_of_the_secret(session: Session) -> None:
    row = {
        "cells": ["s1", "Opaque", 1, "5d"],
        "object": {"kind": "PartialObjectMetadata", "metadata": secret()["metadata"]},
    }
    row["object"]["metadata"]["annotations"] = {APPLIED: json.dumps(secret(stringData={"password": VALUE}))}
    shown = check(session, f"{N}/secrets", {**TABLE, "columnDefinitions": [{"name": "Name"}], "rows": [row]})
    assert shown["rows"][0]["cells"] == ["s1", "Opaque", 1, "5d"]


def test_a5_include_object_shows_the_full_secret_in_a_table(session: Session) -> None:
    rows = [{"cells": ["s1", "Opaque", 1, "5d"], "object": secret()} for _ in range(2)]
    check(session, f"{N}/secrets?includeObject=Object", {**TABLE, "columnDefinitions": [], "rows": rows})


def test_a6_partial_object_metadata_takes_its_type_from_the_url(session: Session) -> None:
    metadata = {"name": "s1", "annotations": {APPLIED: json.dumps(secret())}, "managedFields": [{"time": "now"}]}
    shown = check(session, S1, {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
    assert "managedFields" not in shown["metadata"]
    one = {"metadata": {**metadata}}
    check(session, f"{N}/secrets", {"kind": "PartialObjectMetadataList", "items": [one, one]})


def test_a9_pretty_printing_changes_nothing(session: Session) -> None:
    body = json.dumps(secret(), indent=2).encode()
    assert find(session.body(S1, body).body) == []


def test_a10_every_item_of_a_large_list_is_masked(session: Session) -> None:
    shown = check(session, f"{N}/secrets", {"kind": "SecretList", "apiVersion": "v1", "items": [item()] * 500})
    assert len(shown["items"]) == 500


# --- B: watches and lists ---


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "SOMETHING-NEW"])
def test_b1_b2_events_of_every_type_are_masked(session: Session, kind: str) -> None:
    stream = session.masker(f"{N}/secrets?watch=1").watch_stream()
    shown = stream.feed(event(kind, secret()))
    assert find(shown) == []
    assert json.loads(shown)["object"]["metadata"]["name"] == "s1"
    assert stream.close() == b""


def test_b3_initial_events_end_with_a_bookmark_that_stays_as_it_is(session: Session) -> None:
    mark = {"kind": "Secret", "apiVersion": "v1", "metadata": {"annotations": {"k8s.io/initial-events-end": "true"}}}
    stream = session.masker(f"{N}/secrets?watch=1").watch_stream()
    shown = stream.feed(event("ADDED", secret()) + event("BOOKMARK", mark))
    assert find(shown) == []
    assert json.loads(shown.splitlines()[1])["object"] == mark


def test_b4_a_list_that_comes_where_a_watch_was_asked_for_is_masked_and_the_other_way_round(session: Session) -> None:
    body = json.dumps({"kind": "SecretList", "items": [item()]}).encode()
    stream = session.masker(f"{N}/secrets?watch=1").watch_stream()
    assert find(stream.feed(body) + stream.close()) == []
    assert find(session.body(f"{N}/secrets?watch=1", body).body) == []
    two = event("ADDED", secret()) * 2
    assert find(session.body(f"{N}/secrets?watch=1", two).body) == []


def test_b5_the_watch_prefix_has_the_type_of_its_resource(session: Session) -> None:
    stream = session.masker("/api/v1/watch/namespaces/t1/secrets/s1").watch_stream()
    assert find(stream.feed(event("ADDED", secret()))) == []


def test_b6_protobuf_frames_are_no_json_lines(session: Session) -> None:
    with pytest.raises(MaskError):
        session.masker(f"{N}/secrets?watch=1").watch_stream().feed(b"\0\0\0\x10" + VALUE.encode() + b"\n")


def test_b7_rows_of_a_table_watch_are_masked_by_the_columns_of_the_first_event(session: Session) -> None:
    target = "/apis/example.com/v1/databases?watch=1"
    first = {**TABLE, "columnDefinitions": [{"name": "Name"}, {"name": "Password"}], "rows": [{"cells": ["a", VALUE]}]}
    later = {
        **TABLE,
        "columnDefinitions": None,
        "rows": [{"cells": ["b", VALUE], "object": {"metadata": {"name": "b"}}}],
    }
    stream = session.masker(target).watch_stream()
    shown = stream.feed(event("ADDED", first) + event("MODIFIED", later) + event("MODIFIED", later))
    assert find(shown) == []
    assert [json.loads(line)["object"]["rows"][0]["cells"][0] for line in shown.splitlines()] == ["a", "b", "b"]


def test_b9_the_status_of_an_error_event_is_text(session: Session) -> None:
    session.known.add(VALUE)
    status = {"kind": "Status", "status": "Failure", "message": f"field selector data={VALUE} is bad", "code": 400}
    stream = session.masker(f"{N}/secrets?watch=1").watch_stream()
    assert find(stream.feed(event("ERROR", status))) == []


def test_b10_the_continue_token_of_a_list_stays(session: Session) -> None:
    shown = check(
        session, f"{N}/secrets?limit=1", {"kind": "SecretList", "metadata": {"continue": "abc"}, "items": [item()]}
    )
    assert shown["metadata"] == {"continue": "abc"}


def test_b11_secrets_of_all_namespaces(session: Session) -> None:
    check(session, "/api/v1/secrets", {"kind": "SecretList", "items": [item()]})
    check(session, "/api/v1/namespaces//secrets", {"kind": "SecretList", "items": [item()]})


# --- C: answers of writes, Status, warnings ---


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_c1_c2_c4_the_answer_of_a_write_is_masked(session: Session, method: str) -> None:
    target = f"{N}/secrets" if method == "POST" else f"{S1}?dryRun=All"
    check(session, target, secret(), method)


def test_c3_deletecollection_answers_a_list(session: Session) -> None:
    check(session, f"{N}/secrets?dryRun=All", {"kind": "SecretList", "items": [item()]}, "DELETE")


def test_c6_a_quoted_invalid_value_is_masked_though_it_was_never_seen(session: Session) -> None:
    text = f'Secret "s1" is invalid: type: Invalid value: "{b64()}": field is immutable'
    status = {"kind": "Status", "status": "Failure", "message": text, "reason": "Invalid", "code": 422}
    status["details"] = {
        "name": "s1",
        "causes": [{"message": f'Invalid value: "{b64()}": field is immutable', "field": "type"}],
    }
    shown = check(session, S1, status, "PATCH")
    assert shown["message"].startswith('Secret "s1" is invalid: type: Invalid value: ')
    assert shown["details"]["causes"][0]["field"] == "type"


def test_c8_managed_fields_of_secrets_are_gone(session: Session) -> None:
    document = secret()
    document["metadata"]["managedFields"] = [
        {"time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:data": {"f:password": {}}}}
    ]
    assert "managedFields" not in check(session, S1, document)["metadata"]


def test_c11_the_token_of_a_token_request_is_masked(session: Session) -> None:
    document = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "spec": {"audiences": ["a"]},
        "status": {"token": VALUE},
    }
    shown = check(session, f"{N}/serviceaccounts/default/token?dryRun=All", document, "POST")
    assert shown["spec"] == {"audiences": ["a"]}


def test_c12_the_token_that_a_token_review_echoes_is_masked(session: Session) -> None:
    check(
        session,
        "/apis/authentication.k8s.io/v1/tokenreviews",
        {"kind": "TokenReview", "spec": {"token": VALUE}},
        "POST",
    )


def test_c15_c16_h1_warnings_and_denials_quote_values_of_the_session(session: Session) -> None:
    check(session, S1, secret())
    masker = session.masker(f"{N}/configmaps", "POST")
    for form in (VALUE, b64()):
        headers = masker.mask_headers([("Warning", f'299 - "denied: {form}"'), ("Audit-ID", "x")])
        assert find(*(value for _, value in headers)) == []
        status = {"kind": "Status", "message": f"denied request: {form}", "details": {"causes": [{"message": form}]}}
        assert find(session.body(f"{N}/configmaps", status, "POST").body) == []


# --- D: copies ---


@pytest.mark.parametrize("target", [S1, f"{N}/configmaps/c1", f"{N}/services/x", "/apis/example.com/v1/things/x"])
def test_d_last_applied_is_masked_on_every_kind(session: Session, target: str) -> None:
    manifest = json.dumps(secret(stringData={"password": VALUE})) + "\n"
    document = {"metadata": {"name": "x", "annotations": {APPLIED: manifest, "keep": "me"}}}
    shown = check(session, target, document)
    inner = shown["metadata"]["annotations"][APPLIED]
    assert json.loads(inner)["metadata"]["name"] == "s1"
    assert inner.endswith("\n")
    assert shown["metadata"]["annotations"]["keep"] == "me"


@pytest.mark.parametrize("broken", [f"{{{VALUE}", VALUE, f'"{VALUE}"', json.dumps(secret())[:-1], "[" * 5000 + VALUE])
def test_d_an_unparsable_last_applied_is_dropped(session: Session, broken: str) -> None:
    check(session, f"{N}/configmaps/c", {"metadata": {"annotations": {APPLIED: broken}}})


def test_d_manifests_nested_in_manifests_end_masked(session: Session) -> None:
    document: Any = secret()
    for _ in range(8):
        document = {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {"annotations": {APPLIED: json.dumps(document)}},
        }
    check(session, f"{N}/configmaps/c", document)


@pytest.mark.parametrize("name", ["kapp.k14s.io/original", "objectset.rio.cattle.io/applied"])
def test_d_other_annotations_with_manifests(session: Session, name: str) -> None:
    value = (
        json.dumps(secret())
        if "kapp" in name
        else base64.b64encode(gzip.compress(json.dumps(secret()).encode())).decode()
    )
    shown = check(session, f"{N}/configmaps/c", {"metadata": {"annotations": {name: value}}})
    assert value not in json.dumps(shown)


POD_SPEC = {
    "containers": [
        {
            "name": "c",
            "image": "nginx:1.27",
            "env": [
                {"name": "DB_PASSWORD", "value": VALUE},
                {"name": "MODE", "value": "fast"},
                {"name": "URL", "value": f"pg://u:{VALUE}@db/x"},
            ],
            "args": [f"--password={VALUE}", "--token", VALUE, "--verbose"],
            "command": ["sh", "-c", f"export API_KEY={VALUE}; run"],
            "lifecycle": {"postStart": {"exec": {"command": ["curl", "-H", f"Authorization: Bearer {VALUE}"]}}},
            "livenessProbe": {"httpGet": {"httpHeaders": [{"name": "Authorization", "value": VALUE}]}},
        }
    ],
}


@pytest.mark.parametrize(
    ("target", "document"),
    [
        (f"{N}/pods/p", {"kind": "Pod", "spec": POD_SPEC}),
        (
            f"{N}/pods/p",
            {
                "kind": "Pod",
                "spec": {"initContainers": POD_SPEC["containers"], "ephemeralContainers": POD_SPEC["containers"]},
            },
        ),
        ("/apis/apps/v1/namespaces/t1/deployments/d", {"kind": "Deployment", "spec": {"template": {"spec": POD_SPEC}}}),
        (
            "/apis/apps/v1/namespaces/t1/controllerrevisions/r",
            {"kind": "ControllerRevision", "data": {"spec": {"template": {"spec": POD_SPEC}}}},
        ),
        (
            "/apis/batch/v1/namespaces/t1/cronjobs/j",
            {"spec": {"jobTemplate": {"spec": {"template": {"spec": POD_SPEC}}}}},
        ),
        (f"{N}/podtemplates/t", {"template": {"spec": POD_SPEC}}),
    ],
)
def test_d_workloads_env_args_probes_and_old_revisions(session: Session, target: str, document: Any) -> None:
    shown = json.dumps(check(session, target, document))
    for kept in ('"fast"', "--verbose", "nginx:1.27", "DB_PASSWORD"):
        assert kept in shown


@pytest.mark.parametrize(
    "data",
    [
        {"password": VALUE},
        {"application.properties": f"spring.url=x\nspring.datasource.password={VALUE}\n"},
        {"config": f"users:\n- user:\n    token: {VALUE}\n    client-key-data: {VALUE}\n"},
        {".env": f"DB_PASSWORD='{VALUE}'"},
        {"config.json": json.dumps({"auth": {"clientSecret": VALUE}})},
        {
            "key.pem": f"-----BEGIN RSA PRIVATE KEY-----\n{VALUE.replace('-', '')}\n{VALUE}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END RSA PRIVATE KEY-----\n"
        },
    ],
)
def test_d_configmaps_by_key_and_by_content(session: Session, data: dict[str, str]) -> None:
    check(session, f"{N}/configmaps/c", {"kind": "ConfigMap", "data": {**data, "keep": "me"}})


def test_d_binary_data_is_masked_and_stays_base64(session: Session) -> None:
    shown = check(session, f"{N}/configmaps/c", {"binaryData": {"blob": b64()}})
    assert base64.b64decode(shown["binaryData"]["blob"], validate=True)


def test_d_helm_releases_of_both_drivers(session: Session) -> None:
    packed = base64.b64encode(gzip.compress(VALUE.encode())).decode()
    for target, value in (
        (f"{N}/configmaps/sh.helm.release.v1.a.v1", packed),
        (S1, base64.b64encode(packed.encode()).decode()),
    ):
        assert packed not in json.dumps(session.json(target, {"data": {"release": value}}))


@pytest.mark.parametrize("kind", ["bootstrap.kubernetes.io/token", "kubernetes.io/service-account-token"])
def test_d_bootstrap_and_service_account_tokens(session: Session, kind: str) -> None:
    check(session, S1, {"kind": "Secret", "type": kind, "data": {"token": b64(), "token-secret": b64()}})


@pytest.mark.parametrize(
    ("target", "document"),
    [
        (f"{N}/events/e", {"message": f"Error: password={VALUE} refused"}),
        ("/apis/events.k8s.io/v1/namespaces/t1/events/e", {"note": f"https://u:{VALUE}@h/ failed"}),
        (
            f"{N}/pods/p",
            {"status": {"containerStatuses": [{"state": {"terminated": {"message": f"--token={VALUE}"}}}]}},
        ),
    ],
)
def test_d_messages(session: Session, target: str, document: Any) -> None:
    check(session, target, document)


def test_d_public_certificates_stay(session: Session) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ\n-----END CERTIFICATE-----\n"
    bundle = base64.b64encode(pem.encode()).decode()
    hook = {"webhooks": [{"clientConfig": {"caBundle": bundle}}]}
    for target, document in (
        ("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/w", hook),
        ("/apis/example.com/v1/things/x", {"spec": hook}),
        (f"{N}/configmaps/kube-root-ca.crt", {"data": {"ca.crt": pem}}),
        (S1, {"data": {"tls.crt": bundle, "ca.crt": bundle}}),
    ):
        assert session.json(target, document) == document


def test_d_a_certificate_with_a_private_key_is_no_certificate(session: Session) -> None:
    pem = f"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n{VALUE}\n-----END PRIVATE KEY-----\n"
    check(session, S1, {"data": {"tls.crt": base64.b64encode(pem.encode()).decode()}})
    check(session, S1, {"data": {"tls.crt": b64(), "tls.key": b64()}})


def test_d_storage_parameters(session: Session) -> None:
    check(
        session, "/apis/storage.k8s.io/v1/storageclasses/s", {"parameters": {"secretAccessKey": VALUE, "type": "gp3"}}
    )
    check(session, "/api/v1/persistentvolumes/p", {"spec": {"csi": {"volumeAttributes": {"userPassword": VALUE}}}})


@pytest.mark.parametrize(
    "annotation",
    [
        {
            "nginx.ingress.kubernetes.io/configuration-snippet": f'proxy_set_header Authorization "Bearer {VALUE}aaaaaaaaaaaaaa";'
        },
        {"example.com/api-token": VALUE},
    ],
)
def test_d_annotations_of_ingresses_and_services(session: Session, annotation: dict[str, str]) -> None:
    check(session, "/apis/networking.k8s.io/v1/namespaces/t1/ingresses/i", {"metadata": {"annotations": annotation}})


@pytest.mark.parametrize(
    ("group", "document"),
    [
        ("helm.toolkit.fluxcd.io", {"spec": {"values": {"db": {"password": VALUE, "port": 5432, "enabled": True}}}}),
        ("argoproj.io", {"spec": {"source": {"helm": {"parameters": [{"name": "auth.password", "value": VALUE}]}}}}),
        ("tekton.dev", {"status": {"results": [{"name": "api-token", "value": VALUE}]}}),
        ("tekton.dev", {"spec": {"params": [{"name": "passwords", "value": [VALUE, VALUE]}]}}),
        ("velero.io", {"status": {"downloadURL": f"https://s3/x?X-Amz-Signature={VALUE}"}}),
        ("kubernetes.crossplane.io", {"spec": {"forProvider": {"manifest": secret()}}}),
        ("databases.example.com", {"spec": {"users": [{"name": "u", "password": VALUE}]}}),
        ("databases.example.com", {"spec": {"password": {"type": "{plain}", "value": VALUE}}}),
    ],
)
def test_d_custom_resources(session: Session, group: str, document: Any) -> None:
    check(session, f"/apis/{group}/v1/namespaces/t1/things/x", document)


def test_d_the_gateways_identity_is_not_shown(session: Session) -> None:
    info = {"username": "u", "uid": VALUE, "groups": ["g"], "extra": {"accessKeyId": [VALUE], "arn": [VALUE]}}
    shown = check(session, "/apis/authentication.k8s.io/v1/selfsubjectreviews", {"status": {"userInfo": info}}, "POST")
    assert shown["status"]["userInfo"] == {"username": "agent", "groups": ["g"]}


# --- H: made to reveal ---


def test_h4_printer_columns_over_secret_fields(session: Session) -> None:
    columns = [{"name": "Name"}, {"name": "Password"}, {"name": "Where"}]
    row = {"cells": ["t", VALUE, VALUE], "object": {"metadata": {"name": "t"}, "spec": {"password": VALUE}}}
    shown = check(
        session,
        "/apis/example.com/v1/things?includeObject=Object",
        {**TABLE, "columnDefinitions": columns, "rows": [row]},
    )
    assert shown["rows"][0]["cells"][0] == "t"


def test_copies_in_other_objects_of_the_session_are_found(session: Session) -> None:
    """The second net: H5, C5."""
    check(session, S1, secret())
    other = {
        "metadata": {"name": VALUE, "labels": {"x": b64()}, "annotations": {"y": f"a {VALUE} b"}},
        "spec": {"deep": [{"z": VALUE}]},
    }
    shown = session.json(f"{N}/services/x", other)
    assert shown["metadata"]["name"] == VALUE  # names are not touched: the client could not use the object any more
    shown["metadata"]["name"] = ""
    assert find(json.dumps(shown)) == []


# --- F4: text ---


def test_f4_logs_are_masked_by_line(session: Session) -> None:
    check(session, S1, secret())
    text = f"start\nenv X={VALUE}\nurl pg://u:{VALUE}@h/\nsafe line\n".encode()
    masked = session.masker(f"{N}/pods/p/log").mask_body("text/plain", text)
    assert find(masked.body) == []
    assert b"start\n" in masked.body and b"safe line\n" in masked.body


# --- what must not change ---


@pytest.mark.parametrize(
    ("target", "document"),
    [
        (
            f"{N}/pods/p",
            {
                "kind": "Pod",
                "spec": {
                    "volumes": [
                        {
                            "projected": {
                                "sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}]
                            }
                        }
                    ],
                    "automountServiceAccountToken": True,
                },
            },
        ),
        (
            f"{N}/pods",
            {
                "kind": "PodList",
                "items": [
                    {
                        "spec": {
                            "containers": [
                                {
                                    "env": [
                                        {
                                            "name": "PASSWORD",
                                            "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}},
                                        }
                                    ]
                                }
                            ]
                        }
                    }
                ],
            },
        ),
        (
            "/apis/example.com/v1/things/x",
            {
                "spec": {
                    "secretName": "a",
                    "passwordSecretRef": {"name": "b", "key": "c"},
                    "tokenTTL": 5,
                    "useToken": True,
                }
            },
        ),
        ("/api/v1/namespaces/t1", {"kind": "Namespace", "metadata": {"name": "t1"}}),
        ("/apis", {"kind": "APIGroupList", "groups": []}),
        (
            f"{N}/configmaps/c",
            {"data": {"a": "b", "log": "token bucket: full", "doc": "the password policy: see docs"}},
        ),
        (f"{N}/secrets", {"kind": "SecretList", "items": None}),
        (f"{N}/secrets/x", {"kind": "Status", "status": "Success", "details": {"name": "x"}}),
    ],
)
def test_what_holds_no_value_is_returned_byte_for_byte(session: Session, target: str, document: Any) -> None:
    body = json.dumps(document, separators=(",", ":")).encode()
    masked = session.body(target, body)
    assert masked.body == body
    assert masked.hits == {}


def test_openapi_passes_in_any_form(session: Session) -> None:
    assert (
        session.masker("/openapi/v2")
        .mask_body("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", b"\0x")
        .body
        == b"\0x"
    )


def test_a_type_is_never_changed(session: Session) -> None:
    """A string where a number is due, or text where base64 is due, fails every typed client."""
    document = {
        "spec": {
            "password": 123456,
            "token": 1.5,
            "secret": True,
            "apiKey": None,
            "credentials": {"a": "b"},
            "passwords": ["a", 1],
        }
    }
    shown = session.json("/apis/example.com/v1/things/x", document)["spec"]
    assert [type(value) for value in shown.values()] == [int, int, bool, type(None), dict, list]
    assert 123456 not in shown.values()
    assert base64.b64decode(session.json(S1, secret())["data"]["password"], validate=True)


def test_the_mask_is_one_constant(session: Session) -> None:
    values = {f"k{i}": base64.b64encode(b"x" * i).decode() for i in range(1, 40)}
    assert len(set(session.json(S1, {"data": values})["data"].values())) == 1
