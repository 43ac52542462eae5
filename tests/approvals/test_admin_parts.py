"""Sessions, nonces, attempts, links, the listener's address and the description of the API."""

from __future__ import annotations

import json
import re
import socket

import pytest

from pratique.approvals.admin import openapi, sessions
from pratique.approvals.admin.keys import link_key
from pratique.approvals.admin.links import LINK_SECONDS, Links
from pratique.approvals.admin.server import FILE_NAME, ROUTES, Address, AdminServer, tls_from
from pratique.approvals.admin.sessions import (
    ATTEMPT_SECONDS,
    ATTEMPTS,
    ATTEMPTS_IN_ALL,
    IDLE_SECONDS,
    NONCE_SECONDS,
    SESSION_SECONDS,
    Attempts,
    Nonces,
    Sessions,
)
from pratique.approvals.sqlite_store import SqliteStore
from pratique.errors import Refused, StartError
from tests.approvals.admin import Admin, certificate
from tests.approvals.helpers import VirtualTime, question

NOW = 1000.0


def test_a_session_is_found_by_its_token_only_and_the_token_is_not_kept():
    table = Sessions()
    token = table.open("alice", "hash", NOW)
    assert table.find(token, NOW).reviewer == "alice"
    assert table.find(token[:-1], NOW) is None
    assert table.find("", NOW) is None
    assert token not in repr(vars(table))


def test_a_session_ends_when_idle_and_in_any_case():
    table = Sessions()
    idle, used = table.open("alice", "h", NOW), table.open("alice", "h", NOW)
    now = NOW
    while now < NOW + SESSION_SECONDS - IDLE_SECONDS / 2:
        now += IDLE_SECONDS / 2
        assert table.find(used, now) is not None
        if now - NOW >= IDLE_SECONDS:
            assert table.find(idle, now) is None
    assert table.find(used, NOW + SESSION_SECONDS) is None


def test_the_tables_do_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 2)
    monkeypatch.setattr(sessions, "MAX_NONCES", 2)
    monkeypatch.setattr(sessions, "MAX_ADDRESSES", 2)
    table, nonces, attempts = Sessions(), Nonces(), Attempts()
    tokens = [table.open("a", "h", NOW) for _ in range(3)]
    assert [table.find(token, NOW) is not None for token in tokens] == [False, True, True]
    issued = [nonces.issue("c", "s", "d", NOW) for _ in range(3)]
    assert [nonces.use(nonce, "c", "s", "d", NOW) for nonce in issued] == [False, True, True]
    for address in "abc":
        attempts.failed(address, NOW)
    assert len(attempts._failed) == 2


@pytest.mark.parametrize("wrong", [("x", "s", "d"), ("c", "x", "d"), ("c", "s", "x")])
def test_a_nonce_that_is_used_wrongly_is_used_up(wrong):
    nonces = Nonces()
    nonce = nonces.issue("c", "s", "d", NOW)
    assert not nonces.use(nonce, *wrong, NOW)
    assert not nonces.use(nonce, "c", "s", "d", NOW)


def test_a_nonce_is_good_for_its_time():
    nonces = Nonces()
    first, second = nonces.issue("c", "s", "d", NOW), nonces.issue("c", "s", "d", NOW)
    assert nonces.use(first, "c", "s", "d", NOW + NONCE_SECONDS - 1)
    assert not nonces.use(second, "c", "s", "d", NOW + NONCE_SECONDS)


def test_attempts_are_limited_for_each_address_and_in_all():
    attempts = Attempts()
    for _ in range(ATTEMPTS):
        assert attempts.wait_seconds("a", NOW) == 0
        attempts.failed("a", NOW)
    assert attempts.wait_seconds("a", NOW) == ATTEMPT_SECONDS + 1
    assert attempts.wait_seconds("b", NOW) == 0
    assert attempts.wait_seconds("a", NOW + ATTEMPT_SECONDS) == 0
    for index in range(ATTEMPTS_IN_ALL):
        attempts.failed(f"x{index}", NOW)
    assert attempts.wait_seconds("b", NOW) > 0


def test_a_link_is_good_once_for_its_time_and_by_its_own_key():
    links = Links(b"k" * 32)
    token = links.token("apr-1", NOW)
    assert links.redeem(token, NOW + 1) == "apr-1"
    for wrong, code in (
        (token, 410),
        (token[:-1] + ("E" if token[-1] == "A" else "A"), 403),
        ("apr-1.9999999999.x.y", 403),
        ("", 403),
    ):
        with pytest.raises(Refused) as raised:
            links.redeem(wrong, NOW + 1)
        assert raised.value.code == code
    late = links.token("apr-1", NOW)
    with pytest.raises(Refused) as raised:
        links.redeem(late, NOW + LINK_SECONDS)
    assert raised.value.code == 410
    with pytest.raises(Refused):
        Links(b"j" * 32).redeem(links.token("apr-1", NOW), NOW)
    with pytest.raises(ValueError, match="32 bytes"):
        Links(b"short")


def test_the_key_of_links_stays_and_is_private(tmp_path):
    key = link_key(tmp_path)
    assert link_key(tmp_path) == key
    file = tmp_path / "links.key"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(b"x")
    with pytest.raises(StartError, match="damaged"):
        link_key(tmp_path)


@pytest.mark.parametrize(
    ("text", "host", "port", "url"),
    [
        ("127.0.0.1:0", "127.0.0.1", 0, "https://127.0.0.1:0"),
        ("[::1]:8443", "::1", 8443, "https://[::1]:8443"),
        ("gateway.example:1", "gateway.example", 1, "https://gateway.example:1"),
    ],
)
def test_an_address_is_read(text, host, port, url):
    address = Address.parse(text)
    assert (address.host, address.port, address.url) == (host, port, url)


@pytest.mark.parametrize("text", ["127.0.0.1", ":1", "x:y", "x:99999", "a@b:1", "http://x:1", "x:1/y"])
def test_what_is_no_address_says_so(text):
    with pytest.raises(StartError, match="HOST:PORT"):
        Address.parse(text)


def test_a_free_port_is_kept_for_the_next_start(tmp_path):
    store = SqliteStore(tmp_path / "s")
    first = Admin(store, tmp_path, VirtualTime())
    port = first.address.port
    first.close()
    assert json.loads((tmp_path / FILE_NAME).read_text())["port"] == port
    second = Admin(store, tmp_path, VirtualTime())
    assert second.address.port == port
    third = Admin(store, tmp_path, VirtualTime())
    assert third.address.port != port, "it is taken: another one"
    second.close()
    third.close()
    store.close()


def test_a_port_that_is_taken_is_a_readable_error(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = AdminServer(Address("127.0.0.1", taken.getsockname()[1]), tmp_path, tls_from(certificate(tmp_path)))
        with pytest.raises(StartError, match="Set `pratique_admin`"):
            server.bind()


def test_a_broken_memory_of_the_port_does_no_harm(tmp_path):
    for text in ("", "{", '{"host": 1}', '{"host": "127.0.0.1", "port": 1}'):
        (tmp_path / FILE_NAME).write_text(text)
        server = AdminServer(Address("127.0.0.1", 0), tmp_path, tls_from(certificate(tmp_path)))
        assert server.bind().port > 1024
        server.stop()


def test_a_certificate_that_cannot_be_used_is_a_readable_error(tmp_path):
    (tmp_path / "x.pem").write_text("nothing")
    with pytest.raises(StartError, match="certificate"):
        tls_from(tmp_path / "x.pem")


# --- the description ---


def test_the_description_is_that_of_the_code():
    """Run `python -m pratique.approvals.admin.openapi` after a change."""
    assert openapi.FILE.read_text(encoding="utf-8") == openapi.text()


def test_every_call_is_described_and_every_description_is_a_call():
    described = openapi.PATHS
    served = set()
    for pattern, handler in ROUTES:
        path = re.sub(r"\([^)]*\)", "{id}", pattern).replace("\\.", ".")
        if path == "/{id}":
            continue  # the page's files
        served |= {(method, path) for method in ("get", "post", "put", "delete") if method in _methods(handler)}
    assert served == described


def _methods(handler):
    from tornado.web import RequestHandler

    return {
        name for name in ("get", "post", "put", "delete") if getattr(handler, name) is not getattr(RequestHandler, name)
    }


def test_answers_have_the_described_shape(tmp_path):
    clock = VirtualTime(NOW)
    store = SqliteStore(tmp_path / "s")
    admin = Admin(store, tmp_path, clock)
    asked = store.ask(question(), clock())
    document = admin.call("GET", "/api/v1/openapi.json").json
    calls = ["/healthz", "/api/v1/me", "/api/v1/approvals", "/api/v1/grants", f"/api/v1/approvals/{asked.id}"]
    for path in calls:
        described = document["paths"][path.replace(asked.id, "{id}")]["get"]["responses"]["200"]
        shape = described["content"]["application/json"]["schema"]
        _check(admin.call("GET", path, key="alice").json, shape, document, path)
    refused = document["paths"]["/api/v1/me"]["get"]["responses"]["default"]["content"]["application/json"]["schema"]
    _check(admin.call("GET", "/api/v1/me").json, refused, document, "refused")
    admin.close()
    store.close()


KINDS = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "null": type(None)}


def _check(value, shape, document, where):
    """A small reader of JSON Schema: what the description uses."""
    if "$ref" in shape:
        return _check(value, document["components"]["schemas"][shape["$ref"].rsplit("/", 1)[1]], document, where)
    if "anyOf" in shape:
        kinds = [each for each in shape["anyOf"] if (each.get("type") == "null") == (value is None)]
        return _check(value, kinds[0], document, where)
    if "enum" in shape:
        assert value in shape["enum"], where
        return None
    if shape.get("type") == "array":
        for index, each in enumerate(value):
            _check(each, shape["items"], document, f"{where}[{index}]")
        return None
    if shape.get("type") == "object":
        assert set(shape.get("required", ())) <= set(value), where
        assert set(value) <= set(shape["properties"]), (where, set(value) - set(shape["properties"]))
        for name, each in value.items():
            _check(each, shape["properties"][name], document, f"{where}.{name}")
        return None
    assert isinstance(value, KINDS[shape["type"]]), (where, value, shape)
    return None
