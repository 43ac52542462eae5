"""The offline verdict is the live one: requests of every kind through a gateway, then its recording through `test-policy`'s engine."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pratique.cli import main
from pratique.cli.audit import records
from pratique.documents import read_folder
from pratique.sandbox.cluster import Sandbox
from pratique.trial.judging import Engine, Judgement, Outcome
from pratique.trial.reading import BadRecording, files_of, pieces, read
from pratique.trial.recorded import RecordedRequest
from tests.kube.requests import corpus
from tests.process.gateway import Gateway
from tests.process.test_corpus_on_the_wire import head_of_the_answer

pytestmark = pytest.mark.process
GENERATED = 80
OF_THE_CORPUS = 25
NS = "trial"
KNOWN_LOSSES = ("condition", "labels of the namespace", "cannot be read", "scrubbed")
POLICY = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: t}
spec:
  rules:
    - {name: discover, verbs: [get, head], nonResourceURLs: ["/api", "/api/*", "/apis", "/apis/*", "/version"], action: Allow}
    - {name: read, verbs: [get, list, watch], apiGroups: ["", apps], resources: [pods, secrets, configmaps, namespaces, deployments], action: Allow}
    - {name: logs, verbs: [get], resources: [pods/log], resourceNames: ["w*"], action: Allow}
    - {name: config, verbs: [create, update, patch, apply, delete, get], resources: [configmaps], namespaces: [trial, "tri*"], action: Allow}
    - name: no-large
      verbs: [create, update]
      resources: [configmaps]
      conditions: [{name: large, expression: "object.?data.?size.orValue('') == 'large'"}]
      action: Deny
    - {name: pods, verbs: [create, patch, get], resources: [pods], podPowers: [], action: Allow}
    - {name: gone, verbs: [delete], resources: [pods, secrets], action: RequireApproval}
    - {name: labelled, verbs: [create], resources: [secrets], namespaceSelector: {matchLabels: {team: a}}, action: Allow}
    - {name: ls, verbs: [create], resources: [pods/exec], exec: {commands: [[ls, "**"]]}, action: Allow}
    - {name: rehearse, verbs: [delete], resources: [deployments], apiGroups: [apps], dryRun: true, action: Allow}
    - {name: no-system, verbs: ["*"], resources: ["*"], namespaces: ["kube-*"], action: Deny}
"""


OBSERVED = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: next}
spec:
  mode: Observe
  base: t
  rules:
    - {name: read, verbs: [get, list], resources: [pods, secrets], action: Allow}
    - {name: tried, verbs: [get], resources: [secrets], action: Deny, namespaceSelector: {matchLabels: {team: a}}}
"""


@pytest.fixture(scope="module")
def recording_gateway(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    running = Gateway(
        tmp_path_factory.mktemp("trial"), sandbox, policy=POLICY, hold=0, documents={"next.yaml": OBSERVED}
    ).start()
    running.behind("POST", "/api/v1/namespaces", {"metadata": {"name": NS, "labels": {"team": "a"}}})
    yield running
    running.stop()


def generated(chance: random.Random) -> tuple[str, str, Any, dict[str, str]]:
    """One request: method, target, body, headers."""
    namespace = chance.choice([NS, NS, "other", "kube-system", "tricky"])
    resource = chance.choice(["pods", "secrets", "configmaps", "services"])
    name = chance.choice(["web", "db", "x1"])
    inside, group = f"/api/v1/namespaces/{namespace}/{resource}", f"/apis/apps/v1/namespaces/{namespace}/deployments"
    named = {"apiVersion": "v1", "metadata": {"name": f"{name}-{chance.randrange(10**9)}"}}
    body = {**named, "data": {"size": chance.choice(["large", "small"])}} if resource == "configmaps" else named
    if resource == "pods":
        body["spec"] = {"containers": [{"name": "c", "image": "a"}], "hostNetwork": chance.random() < 0.5}
    if chance.random() < 0.2:
        body["metadata"]["annotations"] = {"note": "password=hunter2-hunter2"}
    patch = {"Content-Type": "application/merge-patch+json"}
    return chance.choice(
        [
            ("GET", inside, None, {}),
            ("GET", f"{inside}?watch=true&timeoutSeconds=1", None, {}) if resource == "secrets" else ("GET", inside, None, {}),
            ("GET", f"/api/v1/{resource}?fieldSelector=metadata.name%3D{name}&limit=2", None, {}),
            ("GET", f"{inside}/{name}/log?tailLines=1", None, {}),
            ("POST", inside, body, {}),
            ("POST", inside, body, {}),
            ("PATCH", f"{inside}/{body['metadata']['name']}", {"metadata": {"labels": {"a": "b"}}}, patch),
            ("DELETE", f"{inside}/{name}", None, {}),
            ("DELETE", f"{group}/{name}" + chance.choice(["", "?dryRun=All"]), None, {}),
            ("GET", chance.choice(["/version", "/metrics", "/api/v1/..%2fx", f"{inside}//x"]), None, {}),
            ("GET", f"{inside}/{name}/exec?command={chance.choice(['ls', 'sh'])}&stdout=true", None, {}),
        ]
    )  # fmt: skip


def send(gateway: Gateway, chance: random.Random) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", gateway.port, context=gateway.tls(), timeout=60)
    with contextlib.closing(connection):
        for _ in range(GENERATED):
            method, target, body, headers = generated(chance)
            sent = {"Authorization": f"Bearer {gateway.keys['agent']}", "Content-Type": "application/json", **headers}
            if body is None:
                del sent["Content-Type"]
            connection.request(method, target, None if body is None else json.dumps(body), sent)
            connection.getresponse().read()
    for line in chance.sample(corpus(), OF_THE_CORPUS):
        head_of_the_answer(gateway, line)
    pods = f"/api/v1/namespaces/{NS}/pods"  # and one of each outcome, whatever chance gave
    gateway.call("GET", pods, client="")
    gateway.call("GET", pods)
    gateway.call("DELETE", f"{pods}/gone")
    gateway.call("DELETE", "/api/v1/namespaces/kube-system/pods/gone")
    gateway.call("PATCH", f"{pods}/none", {"spec": {}}, {"Content-Type": "application/merge-patch+json"})


def recorded(state: Path) -> list[RecordedRequest]:
    def on_bad(bad: BadRecording) -> None:
        raise bad

    return [each for file in files_of([state]) for piece in pieces(file, on_bad) for each in read(piece, on_bad)]


def test_for_any_request_the_offline_verdict_is_the_live_one(recording_gateway: Gateway) -> None:
    send(recording_gateway, random.Random(random.getrandbits(32)))  # pytest-randomly seeds it, and says with what
    engine = Engine.of(read_folder(recording_gateway.policies))
    pairs = [(each, engine.judge(each)) for each in recorded(recording_gateway.state)]
    assert len(pairs) >= GENERATED
    told = [(each, found) for each, found in pairs if found.outcome is not Outcome.UNKNOWN]
    assert [
        (str(each.raw.target), each.verdict, each.rules, found[:3]) for each, found in told if not same(each, found)
    ] == []
    counted = Counter(found.outcome for _, found in pairs)
    assert min(counted[outcome] for outcome in Outcome) > 0, counted
    assert counted[Outcome.UNKNOWN] < len(pairs) / 4, counted
    for each, found in pairs:
        if found.outcome is Outcome.UNKNOWN:
            assert b"PATCH" in each.raw.method or any(word in found.why for word in KNOWN_LOSSES), found


def same(each: RecordedRequest, found: Judgement) -> bool:
    if found.outcome is Outcome.REFUSED:
        return each.verdict == "refused"
    if found.request.patch_type and found.request.result is None:  # the rules that decide whatever the patch makes
        return found.outcome == each.verdict and set(found.rules) <= set(each.rules)
    return (found.outcome, found.rules) == (each.verdict, each.rules)


def test_an_observed_policy_is_recorded_and_counted_and_decides_nothing(recording_gateway: Gateway) -> None:
    configmaps = f"/api/v1/namespaces/{NS}/configmaps"
    own = len(recording_gateway.own_calls("observed-"))
    assert recording_gateway.call("GET", f"{configmaps}/observed-by-next").code == 404, (
        "allowed, though `next` would deny it"
    )
    assert recording_gateway.call("GET", f"/api/v1/namespaces/{NS}/secrets/observed-secret").code == 404
    assert recording_gateway.call("DELETE", "/api/v1/namespaces/kube-system/configmaps/observed-system").code == 403
    assert len(recording_gateway.own_calls("observed-")) == own, "nothing is asked for a verdict that decides nothing"
    found = {
        each.name: (each.verdict, each.observed)
        for each in records(recording_gateway.state)
        if "observed-" in each.name
    }
    assert found == {
        "observed-by-next": ("Allow", ("next Deny",)),
        "observed-secret": ("Allow", ("next Unknown",)),
        "observed-system": ("Deny", ("next Deny",)),
    }
    shown = CliRunner().invoke(main, ["sessions", "observed", "--state", str(recording_gateway.state), "-o", "json"])
    assert shown.exit_code == 0, shown.output
    counted = {(row["policy"], row["enforced"], row["observed"]): row["requests"] for row in json.loads(shown.stdout)}
    assert counted["next", "Allow", "Deny"] >= 1
    assert counted["next", "Allow", "Unknown"] >= 1
    assert ("next", "Deny", "Deny") not in counted, "what does not differ"
