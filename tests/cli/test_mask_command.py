"""`pratique mask`: every form of a body, the report, and nothing at all where a body cannot be masked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pratique.cli import main
from pratique.masking.mask import Mask
from tests.masking.canary import VALUE, b64, find

ROOT = Path(__file__).parents[2]
N = "/api/v1/namespaces/t1"
SECRET = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"password": b64()}}
TABLE = {"kind": "Table", "columnDefinitions": [{"name": "Name"}], "rows": [{"cells": ["s"], "object": SECRET}]}
STATUS = {"kind": "Status", "message": f"bad: https://u:{VALUE}@h/", "code": 400}
EVENTS = "".join(json.dumps({"type": kind, "object": SECRET}) + "\n" for kind in ("ADDED", "DELETED"))
LOG = f"start\npassword={VALUE}\nend\n"

Run = Callable[..., Result]


@pytest.fixture
def mask() -> Run:
    def run(target: str, body: str | bytes | Any, *options: str) -> Result:
        given = body if isinstance(body, str | bytes) else json.dumps(body)
        result = CliRunner().invoke(main, ["mask", "--path", target, *options, "-"], input=given)
        assert find(result.stdout_bytes, result.stderr_bytes) == []
        return result

    return run


BODIES: list[tuple[str, Any, str]] = [
    (f"{N}/secrets/s", SECRET, "default/secret-data"),
    (f"{N}/secrets", {"kind": "SecretList", "items": [SECRET, SECRET]}, "default/secret-data"),
    (f"{N}/secrets", TABLE, "default/secret-data"),
    (f"{N}/secrets?watch=true", EVENTS, "default/secret-data"),
    ("/api/v1/watch/secrets", EVENTS, "default/secret-data"),
    (f"{N}/secrets/s", STATUS, "url-credentials"),
    (f"{N}/pods/p/log", LOG, "password-assignment"),
    (f"{N}/pods/p/log?follow=true", LOG, "password-assignment"),
    (f"{N}/services/s/proxy/env", json.dumps({"note": f"password={VALUE}"}), "password-assignment"),
    ("/apis/example.com/v1/things/x", {"spec": {"apiKey": VALUE}}, "default/custom-resources"),
]


@pytest.mark.parametrize(("target", "body", "rule"), BODIES)
def test_every_form_of_a_body_is_masked_and_what_each_rule_did_is_listed(
    mask: Run, target: str, body: Any, rule: str
) -> None:
    result = mask(target, body)
    assert result.exit_code == 0, result.stderr
    assert Mask().text in result.stdout or Mask().base64 in result.stdout
    report = dict(line.split("\t") for line in result.stderr.splitlines())
    assert int(report[rule]) >= 1


def test_rules_for_the_type_that_found_nothing_are_listed_too(mask: Run) -> None:
    report = dict(line.split("\t") for line in mask(f"{N}/secrets/s", SECRET).stderr.splitlines())
    assert report["default/secret-data"] == "1"
    assert report["default/secret-string-data"] == report["default/last-applied"] == "0"
    assert "default/workloads" not in report


def test_a_body_without_a_value_is_given_back_byte_for_byte(mask: Run) -> None:
    body = '{"kind": "Namespace",\n "metadata": {"name": "a"}}\n'
    result = mask("/api/v1/namespaces/a", body)
    assert (result.exit_code, result.stdout) == (0, body)
    assert "nothing masked" in result.stderr


def test_the_report_as_json_is_one_line_on_standard_error(mask: Run) -> None:
    result = mask(f"{N}/secrets/s?pretty=true", SECRET, "--output", "json", "--client", "viewer-1")
    report = json.loads(result.stderr)
    assert (report["total"], report["client"], report["path"]) == (1, "viewer-1", f"{N}/secrets/s")
    assert report["masked"]["default/secret-data"] == 1
    assert json.loads(result.stdout)["data"]["password"] == Mask().base64


@pytest.mark.parametrize(
    ("target", "body", "options", "text"),
    [
        (f"{N}/secrets/s", f"data:\n  password: {b64()}\n", (), "is it YAML?"),
        (f"{N}/secrets/s", b"k8s\0" + VALUE.encode(), (), "protobuf"),
        (f"{N}/secrets/s", b"\xd9\xd9\xf7" + VALUE.encode(), (), "CBOR"),
        (f"{N}/secrets/s", json.dumps(SECRET)[:-3], (), "not JSON"),
        (f"{N}/secrets/s", f"data: {b64()}", ("--content-type", "application/yaml"), "cannot be masked"),
        (f"{N}/secrets/s", VALUE, ("--content-type", "application/vnd.kubernetes.protobuf"), "cannot be masked"),
        (f"{N}/secrets?watch=1", EVENTS + EVENTS[:40], (), "ended inside an event"),
        (f"{N}/secrets?watch=1", EVENTS + "nonsense\n", (), "not JSON"),
        ("api/v1/secrets", SECRET, (), "malformed request target"),
    ],
)
def test_what_cannot_be_masked_is_not_shown_at_all(
    mask: Run, target: str, body: Any, options: tuple[str, ...], text: str
) -> None:
    result = mask(target, body, *options)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("pratique: ")
    assert text in result.stderr


def test_rules_of_another_folder(mask: Run, tmp_path: Path) -> None:
    rules = "apiVersion: pratique/v1\nkind: MaskPolicy\nmetadata: {name: own}\nspec:\n  clients: [agent]\n  rules:\n"
    (tmp_path / "own.yaml").write_text(rules + "    - {name: all, jsonPaths: [$.spec.x], as: string}\n")
    result = mask(
        "/apis/example.com/v1/things/x", {"spec": {"x": VALUE}}, "--policies", str(tmp_path), "--client", "agent"
    )
    assert result.stderr == "own/all\t1\n"
    other = mask("/apis/example.com/v1/things/x", {"spec": {"x": "shown"}}, "--policies", str(tmp_path))
    assert "no MaskPolicy is for client `demo`" in other.stderr
    (tmp_path / "own.yaml").write_text(rules + "    - {name: all, jsonPaths: ['$.a[']}\n")
    broken = mask("/apis/example.com/v1/things/x", SECRET, "--policies", str(tmp_path))
    assert broken.exit_code == 1
    assert "own.yaml:7:31: `$.a[` is not a JSONPath" in broken.stderr.replace(str(tmp_path) + "/", "")


def test_as_a_process_in_a_pipe(tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text(json.dumps(SECRET))
    command = [sys.executable, "-m", "pratique.cli", "mask", "--path", f"{N}/secrets/s", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT / "addons")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"]["password"] == Mask().base64
    assert "default/secret-data\t1" in done.stderr
    file.write_text("a: b\n")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT / "addons")
    assert (done.returncode, done.stdout) == (1, "")
