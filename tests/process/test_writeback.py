"""The mask never becomes the value (leaks.md M): real kubectl and the Python client in front of a gateway and the sandbox.

Each case: the write is refused with 422 and a text that helps, the object in the cluster is as it was, and nothing of the
value is in what the client got or in what the gateway wrote.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pratique.masking.mask import Mask
from pratique.masking.writeback import TEXT
from tests.process.gateway import Gateway
from tests.process.kubectl import Client, Done, needs_kubectl
from tests.process.leaks import N, Probe
from tests.process.reviewing import Reviewer

pytestmark = pytest.mark.process
MASK = Mask()
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@pytest.fixture
def kubectl(open_gateway: Gateway, tmp_path: Path) -> Iterator[Client]:
    probe = Probe(open_gateway)
    client = Client(open_gateway, tmp_path, probe)
    applied = json.dumps(probe.secret())
    probe.plant_secret(
        metadata={"annotations": {APPLIED: applied, "note": "before"}},
        data={"password": probe.encoded, "user": "c2hvcA=="},
    )
    yield client
    probe.outputs.append(b"-")
    probe.check()


@pytest.fixture
def untouched(kubectl: Client) -> Iterator[Client]:
    """The object must be as it was."""
    before = kubectl.live()
    yield kubectl
    assert kubectl.live() == before


def refused(done: Done) -> None:
    assert done.code != 0, done
    assert TEXT in done.err, done


def manifest(kubectl: Client) -> str:
    return kubectl.ok("get", "secret", kubectl.name, "-o", "yaml")


@needs_kubectl
def test_m1_get_and_apply(untouched: Client) -> None:
    refused(untouched("apply", "-f", "-", given=manifest(untouched)))


@needs_kubectl
def test_m1_get_and_replace(untouched: Client) -> None:
    done = untouched("replace", "-f", "-", given=manifest(untouched))
    refused(done)
    assert "data.password" in done.err


@needs_kubectl
def test_m2_a_gitops_tool_adopts_what_it_sees(untouched: Client) -> None:
    shown = json.loads(untouched.ok("get", "secret", untouched.name, "-o", "json"))
    shown["metadata"] = {"name": untouched.name, "labels": {"managed-by": "gitops"}}
    refused(untouched("apply", "--server-side", "--field-manager=gitops", "-f", "-", given=json.dumps(shown)))


@needs_kubectl
def test_m3_an_edit_copies_a_masked_value(untouched: Client) -> None:
    seen = untouched.folder / "seen"
    change = "grep -q 'copy:' \"$1\" || sed -i 's/^  user: \\(.*\\)/  user: \\1\\n  copy: \\1/' \"$1\""
    done = untouched("edit", "secret", untouched.name, editor=untouched.script(f'cat "$1" >> {seen}; {change}'))
    assert done.code != 0, done
    assert f"copy: {MASK.base64}" in seen.read_text()
    assert TEXT in seen.read_text() + done.err  # kubectl shows the refusal in the editor


def test_m4_an_operator_reads_modifies_and_puts(untouched: Client) -> None:
    target = f"{N}/secrets/{untouched.name}"
    shown = untouched.probe.get(target).json
    shown["data"]["more"] = "eA=="
    answer = untouched.probe.call("PUT", target, shown)
    assert (answer.code, answer.reason) == (422, "Invalid")
    causes = {cause["field"]: cause["message"] for cause in answer.json["details"]["causes"]}
    assert causes["data.password"] == causes["data.user"] == TEXT
    assert causes[f"metadata.annotations[{APPLIED}]"] == TEXT


@needs_kubectl
@pytest.mark.parametrize("how", ["strategic", "merge"])
def test_m5_a_three_way_patch_that_holds_the_mask(untouched: Client, how: str) -> None:
    patch = json.dumps({"metadata": {"labels": {"a": "b"}}, "data": {"user": MASK.base64}})
    refused(untouched("patch", "secret", untouched.name, f"--type={how}", "-p", patch))


@needs_kubectl
def test_m6_a_forced_server_side_apply(untouched: Client) -> None:
    shown = json.loads(untouched.ok("get", "secret", untouched.name, "-o", "json"))
    shown["metadata"] = {"name": untouched.name}
    refused(untouched("apply", "--server-side", "--force-conflicts", "-f", "-", given=json.dumps(shown)))


@needs_kubectl
def test_m7_a_json_patch_tests_the_mask(untouched: Client) -> None:
    patch = json.dumps(
        [{"op": "test", "path": "/data/password", "value": MASK.base64}, {"op": "remove", "path": "/data/user"}]
    )
    refused(untouched("patch", "secret", untouched.name, "--type=json", "-p", patch))


@needs_kubectl
def test_m8_create_in_another_namespace(untouched: Client) -> None:
    shown = json.loads(untouched.ok("get", "secret", untouched.name, "-o", "json"))
    shown["metadata"] = {"name": untouched.name}
    refused(untouched("-n", "web", "create", "-f", "-", given=json.dumps(shown)))
    assert untouched.gateway.behind("GET", f"/api/v1/namespaces/web/secrets/{untouched.name}").code == 404


@needs_kubectl
def test_m9_a_masked_annotation_is_copied(untouched: Client) -> None:
    shown = json.loads(untouched.ok("get", "secret", untouched.name, "-o", "json"))
    copied = shown["metadata"]["annotations"][APPLIED]
    assert MASK.base64 in copied
    refused(untouched("annotate", "secret", untouched.name, f"copy={copied}"))
    refused(untouched("annotate", "secret", untouched.name, f"copy={MASK.text}"))


@needs_kubectl
def test_m10_base64_of_the_mask_in_another_secret(untouched: Client) -> None:
    shown = json.loads(untouched.ok("get", "secret", untouched.name, "-o", "json"))["data"]["password"]
    for literal in (shown, base64.b64decode(shown).decode(), base64.b64encode(shown.encode()).decode()):
        refused(untouched("create", "secret", "generic", f"{untouched.name}-2", f"--from-literal=password={literal}"))
    assert untouched.gateway.behind("GET", f"{N}/secrets/{untouched.name}-2").code == 404
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": untouched.name},
           "spec": {"containers": [{"name": "c", "image": "x", "env": [{"name": "P", "value": MASK.text}]}]}}  # fmt: skip
    refused(untouched("create", "-f", "-", given=json.dumps(pod)))


@needs_kubectl
def test_m11_what_a_script_makes_of_it(untouched: Client) -> None:
    data = json.loads(untouched.ok("get", "secret", untouched.name, "-o", "json"))["data"]
    refused(untouched("patch", "secret", untouched.name, "-p", json.dumps({"data": {"password2": data["password"]}})))


@needs_kubectl
def test_m_edits_labels_annotations_and_applies_of_other_fields_go_on(kubectl: Client) -> None:
    """The same Secret, with the masks in what kubectl was shown."""
    before = kubectl.live()["data"]
    kubectl.ok("label", "secret", kubectl.name, "team=a")
    kubectl.ok("annotate", "secret", kubectl.name, "note=after", "--overwrite")
    kubectl.ok("edit", "secret", kubectl.name, editor=kubectl.script("sed -i 's/team: a/team: b/' \"$1\""))
    assert (
        "no changes made"
        in kubectl("edit", "secret", kubectl.name, editor=kubectl.script("true")).err
        + kubectl.probe.outputs[-2].decode()
    )
    kubectl.ok("patch", "secret", kubectl.name, "-p", '{"metadata":{"labels":{"more":"c"}}}')
    live = kubectl.live()
    assert live["data"] == before
    assert live["metadata"]["labels"] == {"team": "b", "more": "c"}
    assert live["metadata"]["annotations"]["note"] == "after"
    secret = kubectl.probe.secret(
        metadata={"labels": {"team": "d"}}, data={"password": kubectl.probe.encoded, "user": "bmV3"}
    )
    kubectl.ok("apply", "-f", "-", given=json.dumps(secret))
    assert kubectl.live()["data"] == {"password": kubectl.probe.encoded, "user": "bmV3"}


# --- M.4: masks that are dropped ---


def put(kubectl: Client, **document: Any) -> Any:
    return kubectl.probe.call("PUT", f"{N}/secrets/{kubectl.name}", kubectl.probe.secret(**document))


@pytest.mark.parametrize("document", [{"data": {}}, {"data": {"user": "bmV3"}}], ids=["all", "one"])
def test_m_4_a_put_that_drops_masked_values_is_a_question_for_a_person(untouched: Client, document: Any) -> None:
    answer = put(untouched, **document)
    assert (answer.code, answer.reason) == (403, "ApprovalPending")
    reviewer = Reviewer(untouched.gateway, "alice")
    asked = reviewer.call("GET", f"/approvals/{reviewer.find(untouched.name)}")
    untouched.probe.outputs.append(asked.body)
    assert "deletes `password`" in asked.body.decode()
    assert "builtin/masked-values" in asked.body.decode()


def test_m_4_it_happens_once_a_person_approves(kubectl: Client) -> None:
    document = {"data": {"user": "bmV3"}}
    assert put(kubectl, **document).reason == "ApprovalPending"
    Reviewer(kubectl.gateway, "alice").decide(kubectl.name)
    assert put(kubectl, **document).code == 200
    assert kubectl.live()["data"] == {"user": "bmV3"}


def test_m_4_a_put_that_names_every_value_is_not_asked_about(kubectl: Client) -> None:
    data = {"password": base64.b64encode(b"new").decode(), "user": "bmV3", "more": "eA=="}
    assert put(kubectl, data=data).code == 200
    assert kubectl.live()["data"] == data
