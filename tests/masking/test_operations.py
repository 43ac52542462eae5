"""A JSON patch is stored and shown without the values that it writes into masked places."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pratique.documents.folder import read_files
from pratique.kube.attributes import request_attributes
from pratique.masking.operations import mask_operations
from pratique.masking.rules import compile_masks

MASKS = compile_masks(read_files([Path(__file__).parents[2] / "policies" / "masking.yaml"]))
SECRET = "/api/v1/namespaces/a/secrets/s"
DEPLOYMENT = "/apis/apps/v1/namespaces/a/deployments/d"
ENV = "/spec/template/spec/containers/0/env/0"


def masked(target, *operations):
    attributes = request_attributes("PATCH", target.encode())
    return mask_operations(list(operations), attributes, MASKS, "agent")


def add(path, value="hunter2-CANARY"):
    return {"op": "add", "path": path, "value": value}


@pytest.mark.parametrize(
    ("target", "operation"),
    [
        (SECRET, add("/data/p")),
        (SECRET, add("/data", {"p": "hunter2-CANARY"})),
        (SECRET, add("/stringData/p")),
        (SECRET, add("", {"data": {"p": "hunter2-CANARY"}})),
        (SECRET, {"op": "replace", "path": "/data/a~1b", "value": "hunter2-CANARY"}),
        (SECRET, {"op": "test", "path": "/data/p", "value": "hunter2-CANARY"}),
        (SECRET, add("no-pointer")),
        (SECRET, {"op": "add", "value": "hunter2-CANARY"}),
        (SECRET, "hunter2-CANARY"),
        (DEPLOYMENT, add(f"{ENV}/value")),
        (DEPLOYMENT, add(ENV, {"name": "DB_PASSWORD", "value": "hunter2-CANARY"})),
    ],
)
def test_a_value_for_a_masked_place_is_not_kept(target, operation):
    shown = masked(target, operation)
    assert "CANARY" not in json.dumps(shown)
    assert MASKS.mask.text in json.dumps(shown)


def test_what_is_not_masked_stays_as_it_was():
    harmless = [
        add("/spec/replicas", 3),
        {"op": "remove", "path": "/metadata/labels/a"},
        add("/metadata/labels/b", "c"),
    ]
    assert masked(DEPLOYMENT, *harmless) == harmless


def test_what_is_no_list_is_masked_as_a_whole():
    attributes = request_attributes("PATCH", SECRET.encode())
    assert mask_operations({"data": "x"}, attributes, MASKS, "agent") == MASKS.mask.text
