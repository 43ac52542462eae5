from __future__ import annotations

import pytest

from pratique.sandbox.accept import Form, choose
from pratique.sandbox.status import StatusError

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", Form()), ("*/*", Form()), ("application/json", Form()), (f"{TABLE},application/json", Form("Table")),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Form("Table", "v1beta1")),
        ("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", Form()),
        ("application/json;as=Other, application/yaml", Form(yaml=True)),
        ("application/vnd.kubernetes.protobuf,application/json", Form()),
        ("text/html", Form()),
    ],
)  # fmt: skip
def test_the_first_form_that_can_be_served_wins(header, expected):
    assert choose(header, ("Table",)) == expected


@pytest.mark.parametrize("header", ["application/vnd.kubernetes.protobuf", "application/cbor", "text/plain", TABLE])
def test_nothing_that_can_be_served_is_406(header):
    with pytest.raises(StatusError) as caught:
        choose(header)
    assert caught.value.code == 406
