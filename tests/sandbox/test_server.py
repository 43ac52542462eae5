"""The API server over real HTTPS: what clients send and what they get."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from pratique.sandbox.cluster import Sandbox
from tests.sandbox.kit import Client, deployment, pod

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
MERGE, STRATEGIC, JSON_PATCH, APPLY = (
    f"application/{name}"
    for name in ("merge-patch+json", "strategic-merge-patch+json", "json-patch+json", "apply-patch+yaml")
)


def _path(namespace: str, plural: str, name: str = "", group: str = "") -> str:
    root = f"/apis/{group}" if group else "/api/v1"
    return f"{root}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


# -- who ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", "Basic dTpw", "Bearer k8s-aws-v1.aaaa"])
def test_without_a_valid_token_every_path_is_401(client, header):
    client.token = ""
    headers = {"Authorization": header} if header else {}
    for path in ("/api/v1/namespaces/payments/secrets", "/version", "/healthz", "/nope"):
        reply = client("GET", path, **headers)
        assert (reply.code, reply.json["reason"], reply.json["kind"]) == (401, "Unauthorized", "Status")
        assert b"canary" not in reply.body


def test_an_eks_token_for_this_cluster_is_accepted_and_names_the_session(sandbox, client):
    import boto3
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    info = sandbox.info
    sts = boto3.client("sts", region_name=info.region, endpoint_url=info.sts_endpoint,
                       aws_access_key_id=info.access_key_id, aws_secret_access_key=info.secret_access_key)  # fmt: skip
    found = sts.assume_role(RoleArn=info.role_arn, RoleSessionName="agent-7")["Credentials"]
    credentials = Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])

    def token(cluster: str) -> str:
        url = f"https://sts.{info.region}.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15"
        request = AWSRequest("GET", url, {"x-k8s-aws-id": cluster})
        SigV4QueryAuth(credentials, "sts", info.region, expires=60).add_auth(request)
        return "k8s-aws-v1." + base64.urlsafe_b64encode(request.url.encode()).decode().rstrip("=")

    client.token = token(info.cluster_name)
    review = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
    user = client.ok("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)["status"]["userInfo"]
    assert user["username"].endswith("assumed-role/pratique-role-y/agent-7")
    assert user["groups"] == ["pratique", "system:authenticated"]
    client.token = token("another-cluster")
    assert client("GET", "/version").code == 401
    assert any("403" in reason for reason in sandbox.call(lambda cluster: list(cluster.refused_tokens)))


def test_throttled_sts_is_429_with_retry_after(sandbox, client):
    from tests.sandbox.test_authenticator import _token, _url

    sandbox.call(lambda cluster: setattr(cluster.sts, "throttled", True))
    try:
        client.token = _token(_url())
        reply = client("GET", "/version")
    finally:
        sandbox.call(lambda cluster: setattr(cluster.sts, "throttled", False))
    assert (reply.code, reply.headers["retry-after"]) == (429, "1")


def test_impersonation_headers_are_honoured_so_a_test_sees_when_they_leak(client):
    review = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
    headers = {"Impersonate-User": "mallory", "Impersonate-Group": "g", "Impersonate-Extra-Scopes": "x"}
    user = client.ok("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review, **headers)["status"][
        "userInfo"
    ]
    assert user == {"username": "mallory", "groups": ["g", "system:authenticated"], "extra": {"scopes": ["x"]}}


def test_requests_are_recorded_with_their_headers_user_and_audit_id(sandbox, client):
    reply = client("GET", "/api/v1/namespaces/payments/pods?limit=1", Audit_Id="my-audit-id", X_Test="1")
    record = next(item for item in reversed(sandbox.requests) if item.audit_id == "my-audit-id")
    assert reply.headers["audit-id"] == "my-audit-id"
    assert (record.method, record.path, record.query) == ("GET", "/api/v1/namespaces/payments/pods", "limit=1")
    assert (record.header("x-test"), record.header("none"), record.code) == ("1", None, 200)
    assert record.user.username == "sandbox-admin"
    lines = [json.loads(line) for line in sandbox.options.audit_log.read_text().splitlines()]
    event = next(line for line in lines if line["auditID"] == "my-audit-id")
    assert (event["user"]["username"], event["responseStatus"]["code"]) == ("sandbox-admin", 200)
    assert client("GET", "/nope").headers["audit-id"] not in {"", "my-audit-id"}


# -- discovery ---------------------------------------------------------------------------------------------------------
def test_discovery_is_aggregated_when_asked_and_legacy_otherwise(client):
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    reply = client("GET", "/apis", Accept=accept)
    assert "as=APIGroupDiscoveryList" in reply.headers["content-type"]
    names = [item["metadata"]["name"] for item in reply.json["items"]]
    assert {"apps", "batch", "shop.example.com"} <= set(names)
    core = client.ok("GET", "/api", Accept=accept)["items"][0]["versions"][0]["resources"]
    pods = next(item for item in core if item["resource"] == "pods")
    assert {"exec", "log", "status"} <= {item["subresource"] for item in pods["subresources"]}
    assert client.ok("GET", "/api")["versions"] == ["v1"]
    assert client.ok("GET", "/apis")["kind"] == "APIGroupList"
    assert client.ok("GET", "/apis/apps")["preferredVersion"]["groupVersion"] == "apps/v1"
    listed = {item["name"]: item for item in client.ok("GET", "/apis/apps/v1")["resources"]}
    assert listed["deployments/scale"]["kind"] == "Scale"
    assert listed["deployments"]["shortNames"] == ["deploy"]


@pytest.mark.parametrize("path", ["/nope", "/apis/nope", "/apis/apps/v9", "/apis/nope/v1/things", "/openapi/v3/nope",
                                  "/api/v1/namespaces/payments/pods/db-0/nope", "/api/v1/namespaces/web/configmaps/nginx/scale"])  # fmt: skip
def test_unknown_paths_are_404(client, path):
    reply = client("GET", path)
    assert (reply.code, reply.json["reason"]) == (404, "NotFound")


def test_other_non_resource_paths(client):
    assert client("GET", "/readyz/ping").body == b"ok"
    assert "sandbox" in client.ok("GET", "/version")["gitVersion"]
    assert "/openapi/v3" in client.ok("GET", "/")["paths"]
    assert client("POST", "/version", {}).code == 405


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/v1/namespaces/payments/pods/db-0"), ("PUT", "/api/v1/pods"), ("DELETE", "/api/v1/namespaces"),
     ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"), ("POST", "/api/v1/namespaces/payments/pods/db-0/log"),
     ("DELETE", "/api/v1/namespaces/payments/pods/db-0/exec"), ("GET", "/api/v1/namespaces/payments/pods/db-0/eviction"),
     ("POST", "/apis/apps/v1/namespaces/payments/deployments/api/scale"), ("GET", "/api/v1/namespaces/web/serviceaccounts/default/token"),
     ("POST", "/apis/apps/v1/namespaces/payments/deployments/api/status"), ("GET", "/api/v1/nodes/x/status/more")],
)  # fmt: skip
def test_methods_and_depths_that_are_not_served(client, method, path):
    reply = client(method, path, {} if method in {"POST", "PUT"} else None)
    assert reply.code in {404, 405}
    assert reply.json["kind"] == "Status"


def test_openapi_announces_field_validation_and_dry_run(client):
    index = client.ok("GET", "/openapi/v3")["paths"]
    document = client.ok("GET", index["apis/apps/v1"]["serverRelativeURL"])
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert {"dryRun", "fieldValidation"} <= {item["name"] for item in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    schema = document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"]
    assert schema["properties"]["spec"] == {"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}
    hooks = client.ok("GET", "/openapi/v3/apis/shop.example.com/v1")["components"]["schemas"]
    assert "url" in hooks["com.example.shop.v1.Webhook"]["properties"]["spec"]["properties"]


def test_every_reference_of_openapi_leads_somewhere(client):
    document = client.ok("GET", "/openapi/v2")
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split('"#/definitions/')[1:]}
    assert names <= set(document["definitions"])
    reply = client("GET", "/openapi/v2", Accept="application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert reply.body.startswith(b"\x0a\x032.0")
    assert b"io.k8s.api.core.v1.Pod" in reply.body


# -- forms -------------------------------------------------------------------------------------------------------------
def test_lists_come_in_the_asked_form(client):
    path = "/api/v1/namespaces/payments/secrets"
    plain = client.ok("GET", path)
    assert (plain["kind"], plain["apiVersion"]) == ("SecretList", "v1")
    assert int(plain["metadata"]["resourceVersion"]) > 0
    table = client.ok("GET", path, Accept=f"{TABLE},application/json")
    assert set(table["rows"][0]["object"]) == {"kind", "apiVersion", "metadata"}
    full = client.ok("GET", f"{path}?includeObject=Object", Accept=TABLE)
    assert full["rows"][0]["object"]["data"]
    partial = client.ok("GET", path, Accept="application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")
    assert partial["kind"] == "PartialObjectMetadataList"
    assert client("GET", f"{path}?includeObject=All", Accept=TABLE).code == 400
    assert client("GET", path, Accept="application/cbor").code == 406


def test_single_objects_come_in_the_asked_form(client):
    path = "/api/v1/namespaces/payments/secrets/stripe"
    assert client.ok("GET", path, Accept=TABLE)["rows"][0]["cells"][0] == "stripe"
    partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    assert "data" not in client.ok("GET", path, Accept=partial)
    reply = client("GET", path, Accept="application/yaml")
    assert reply.headers["content-type"] == "application/yaml"
    assert b"kind: Secret" in reply.body


def test_large_answers_are_compressed_when_that_is_accepted(client, namespace):
    data = {"data": {"k": "x" * 200_000}, "metadata": {"name": "big"}}
    client.ok("POST", _path(namespace, "configmaps"), data)
    reply = client("GET", _path(namespace, "configmaps", "big"), Accept_Encoding="gzip")
    assert reply.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(reply.body))["data"] == data["data"]
    assert "content-encoding" not in client("GET", _path(namespace, "configmaps", "big")).headers


def test_custom_columns_are_cells(client):
    table = client.ok("GET", "/apis/shop.example.com/v1/namespaces/payments/webhooks", Accept=TABLE)
    assert [item["name"] for item in table["columnDefinitions"]] == ["Name", "URL", "Secret", "Age"]
    assert table["rows"][0]["cells"][:3] == [
        "orders",
        "https://hooks.example.com/orders",
        "sandbox-canary-webhook-secret",
    ]


def test_lists_select_and_page(client):
    names = [
        item["metadata"]["name"]
        for item in client.ok("GET", "/api/v1/namespaces/payments/pods?labelSelector=app%3Dapi")["items"]
    ]
    assert len(names) == 2
    one = client.ok("GET", f"/api/v1/pods?fieldSelector=metadata.name%3D{names[0]}")["items"]
    assert [item["metadata"]["name"] for item in one] == [names[0]]
    first = client.ok("GET", "/api/v1/pods?limit=2")
    rest = client.ok("GET", f"/api/v1/pods?limit=100&continue={first['metadata']['continue']}")
    assert len(first["items"]) + len(rest["items"]) == len(client.ok("GET", "/api/v1/pods")["items"])
    reply = client("GET", "/api/v1/secrets?fieldSelector=data.password%3Dx")
    assert reply.code == 400
    everywhere = client.ok("GET", "/api/v1/namespaces//secrets")["items"]
    assert len({item["metadata"]["namespace"] for item in everywhere}) > 1


# -- writes ------------------------------------------------------------------------------------------------------------
def test_patches_of_all_types(client, namespace):
    path = _path(namespace, "deployments", "web", "apps/v1")
    client.ok("POST", _path(namespace, "deployments", group="apps/v1"), deployment())
    spec = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}}
    found = client.ok("PATCH", path, spec, Content_Type=STRATEGIC)["spec"]["template"]["spec"]["containers"]
    assert (found[0]["image"], found[0]["env"]) == ("nginx:2", [{"name": "A", "value": "1"}])
    found = client.ok("PATCH", path, {"spec": {"replicas": 1}}, Content_Type=MERGE)
    assert found["spec"]["replicas"] == 1
    operations = [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]
    assert client.ok("PATCH", path, operations, Content_Type=JSON_PATCH)["metadata"]["labels"] == {"a": "b"}
    applied = {**deployment(replicas=3), "metadata": {"name": "web"}}
    reply = client("PATCH", f"{path}?fieldManager=me&force=true", applied, Content_Type=APPLY)
    assert (reply.code, reply.json["spec"]["replicas"]) == (200, 3)
    new = _path(namespace, "configmaps", "fresh")
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fresh}\ndata: {a: b}\n"
    assert client("PATCH", f"{new}?fieldManager=me", body, Content_Type=APPLY).code == 201


@pytest.mark.parametrize(
    ("path", "body", "media", "code"),
    [
        ("configmaps/c", {}, "text/plain", 415),
        ("configmaps/c", {}, "application/json", 415),
        ("configmaps/c", b"{", MERGE, 400),
        ("configmaps/c", [], MERGE, 400),
        ("configmaps/c", {}, JSON_PATCH, 400),
        ("configmaps/c", [{"op": "remove", "path": "/nope"}], JSON_PATCH, 422),
        ("configmaps/c", [{"op": "replace", "path": "", "value": 1}], JSON_PATCH, 422),
        ("configmaps/c", {"metadata": {"resourceVersion": "1"}}, MERGE, 409),
        ("configmaps/c", {"metadata": {"name": "d"}}, MERGE, 400),
        ("configmaps/none", {}, MERGE, 404),
        ("configmaps/c?fieldManager=x", {"data": {}}, APPLY, 400),
        ("configmaps/c?fieldManager=x", b"\t: [", APPLY, 400),
        ("configmaps/c", {"kind": "ConfigMap", "apiVersion": "v1"}, APPLY, 422),
        ("configmaps/c?dryRun=all", {}, MERGE, 422),
    ],
)
def test_patches_that_are_refused(client, namespace, path, body, media, code):
    client.ok("POST", _path(namespace, "configmaps"), {"metadata": {"name": "c"}})
    reply = client("PATCH", _path(namespace, path), body, Content_Type=media)
    assert (reply.code, reply.json["kind"], reply.json["code"]) == (code, "Status", code)


def test_custom_resources_take_no_strategic_patch_and_have_status_and_scale(client):
    path = "/apis/shop.example.com/v1/namespaces/payments/webhooks/orders"
    assert client("PATCH", path, {}, Content_Type=STRATEGIC).code == 415
    scale = client.ok("GET", f"{path}/scale")
    assert (scale["spec"], scale["status"]["replicas"]) == ({"replicas": 1}, 1)
    reply = client("PATCH", f"{path}?dryRun=All&fieldValidation=Strict", {"spec": {"nope": 1}}, Content_Type=MERGE)
    assert reply.code == 400
    assert 'unknown field "spec.nope"' in reply.json["message"]
    body = {"spec": {"url": "x"}, "metadata": {"name": "n"}}
    assert client("POST", path.rpartition("/")[0], body).code == 400


def test_bodies_that_are_refused(client, namespace):
    path = _path(namespace, "configmaps")
    assert client("POST", path, b"not json", Content_Type="application/json").code == 400
    assert client("POST", path, b"[1]", Content_Type="application/json").code == 400
    assert client("POST", path, b"x", Content_Type="application/cbor").code == 415
    assert client("POST", path, b"x", Content_Type="application/vnd.kubernetes.protobuf").code == 400
    assert client("POST", path, b"x" * (3 * 1024 * 1024 + 1), Content_Type="application/json").code == 413
    assert client("POST", path, b"metadata: {name: y}\ndata: {a: b}\n", Content_Type="application/yaml").code == 201


def test_unknown_fields_are_told_in_a_warning(client, namespace):
    reply = client("POST", _path(namespace, "configmaps"), {"metadata": {"name": "w"}, "dataa": {}})
    assert reply.code == 201
    assert reply.headers["warning"] == '299 - "unknown field \\"dataa\\""'


def test_delete_answers_by_kind_and_a_body_hides_the_query(client, namespace):
    path = _path(namespace, "configmaps")
    for name in ("a", "b", "c"):
        client.ok("POST", path, {"metadata": {"name": name, "labels": {"n": name}}})
    assert client.ok("DELETE", f"{path}/a?dryRun=All")["status"] == "Success"
    assert client("GET", f"{path}/a").code == 200
    found = client.ok("DELETE", f"{path}/a?dryRun=All", {})
    assert (found["kind"], found["details"]["name"], found["details"]["kind"]) == ("Status", "a", "configmaps")
    assert client("GET", f"{path}/a").code == 404
    gone = client.ok("DELETE", f"{path}?labelSelector=n%3Db")
    assert (gone["kind"], [item["metadata"]["name"] for item in gone["items"]]) == ("ConfigMapList", ["b"])
    assert client("GET", f"{path}/c").code == 200
    client.ok("POST", _path(namespace, "pods"), pod())
    deleted = client.ok("DELETE", _path(namespace, "pods", "p"))
    assert (deleted["kind"], bool(deleted["metadata"]["deletionTimestamp"])) == ("Pod", True)
    assert client("GET", _path(namespace, "pods", "p")).code == 404


def test_scale_status_and_eviction(client, namespace):
    client.ok("POST", _path(namespace, "deployments", group="apps/v1"), deployment())
    path = _path(namespace, "deployments", "web", "apps/v1")
    scale = client.ok("GET", f"{path}/scale")
    assert (scale["kind"], scale["status"]["selector"]) == ("Scale", "app=web")
    assert client.ok("PUT", f"{path}/scale", {**scale, "spec": {"replicas": 3}})["spec"] == {"replicas": 3}
    assert client("PUT", f"{path}/scale", {**scale, "spec": {"replicas": 1}}).code == 409
    assert client("PUT", f"{path}/scale", {"spec": {"replicas": -1}}).code == 422
    assert client.ok("PATCH", f"{path}/scale", {"spec": {"replicas": 2}}, Content_Type=MERGE)["spec"]["replicas"] == 2
    assert client.ok("GET", f"{path}/status")["status"]["replicas"] == 2
    live = client.ok("GET", path)
    client.ok("PUT", f"{path}/status", live)
    client.ok("PATCH", f"{path}/status", {"status": {"replicas": 2}}, Content_Type=MERGE)
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": "100%", "selector": {"matchLabels": {"app": "web"}}}}
    client.ok("POST", _path(namespace, "poddisruptionbudgets", group="policy/v1"), budget)
    name = client.ok("GET", _path(namespace, "pods"))["items"][0]["metadata"]["name"]
    reply = client(
        "POST", _path(namespace, "pods", f"{name}/eviction"), {"metadata": {"name": name}, "kind": "Eviction"}
    )
    assert (reply.code, reply.json["details"]["causes"][0]["reason"]) == (429, "DisruptionBudget")
    client.ok("DELETE", _path(namespace, "poddisruptionbudgets", "b", "policy/v1"))
    assert client("POST", _path(namespace, "pods", f"{name}/eviction"), {"metadata": {"name": name}}).code == 201
    assert client("GET", _path(namespace, "pods", name)).code == 404


def test_a_token_of_a_service_account_works_even_from_a_dry_run(client, namespace):
    path = _path(namespace, "serviceaccounts", "default/token?dryRun=All")
    made = client.ok("POST", path, {"spec": {"expirationSeconds": 600}})
    client.token = made["status"]["token"]
    review = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
    user = client.ok("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)["status"]["userInfo"]
    assert user["username"] == f"system:serviceaccount:{namespace}:default"


def test_reviews_are_answered_and_not_stored(client):
    root = "/apis/authorization.k8s.io/v1"
    body = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "pods"}}}
    assert client.ok("POST", f"{root}/selfsubjectaccessreviews", body)["status"]["allowed"] is True
    assert client("POST", f"{root}/selfsubjectaccessreviews", {"spec": {}}).code == 422
    assert client.ok("POST", f"{root}/selfsubjectrulesreviews", {"spec": {"namespace": "x"}})["status"]["resourceRules"]
    tokens = "/apis/authentication.k8s.io/v1/tokenreviews"
    assert client.ok("POST", tokens, {"spec": {"token": client.token}})["status"]["authenticated"] is True
    refused = client.ok("POST", tokens, {"spec": {"token": "nope"}})["status"]
    assert ("authenticated" in refused, bool(refused["error"])) == (False, True)


def test_an_unexpected_error_is_a_500_status(sandbox: Sandbox, client: Client, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(sandbox.cluster.endpoints, "answer", broken)
    reply = client("GET", "/version")
    assert (reply.code, reply.json["reason"]) == (500, "InternalError")
    assert isinstance(sandbox.cluster.problems.pop(), ZeroDivisionError)
