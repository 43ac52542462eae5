"""Recordings of three forms, and what is said of those that are damaged, huge or of another tool."""

from __future__ import annotations

import gzip
import json

import pytest

from pratique.errors import RecordError
from pratique.recorder.events import StreamEvents
from pratique.recorder.flowfile import decode, encode
from pratique.recorder.flowread import names, read_members
from pratique.recorder.record import Stage
from pratique.trial import reading
from pratique.trial.reading import Piece, files_of, pieces, read
from tests.cli.support import flow_bytes as mitmproxy_flow
from tests.cli.support import meta
from tests.trial.support import PODS, event, flow, lines, read_all


def test_a_flow_file_is_read_with_client_verdict_rules_and_answer(tmp_path):
    (tmp_path / "s.flow").write_bytes(flow(answer={"kind": "PodList"}) + flow("DELETE", PODS + "/web", flow="f2"))
    (first, second), bad = read_all(tmp_path / "s.flow")
    assert bad == []
    assert (first.client, first.verdict, first.rules, first.id) == ("mcp-1", "Allow", ("p/read",), "audit-f1")
    assert json.loads(first.answer.body) == {"kind": "PodList"}
    assert (second.raw.method, second.raw.target, second.place.offset) == (
        b"DELETE",
        PODS.encode() + b"/web",
        len(flow(answer={"kind": "PodList"})),
    )


def test_a_request_counts_once_however_often_it_was_recorded_and_also_where_its_end_is_missing(tmp_path):
    began = [flow(flow=name, stage=Stage.RECEIVED) for name in ("a", "b")]
    (tmp_path / "s.flow").write_bytes(b"".join(began) + flow(flow="a", stage=Stage.STARTED) + flow(flow="a"))
    found, _ = read_all(tmp_path / "s.flow")
    assert [one.id for one in found] == ["audit-a", "audit-b"]


def test_the_fast_reader_says_what_the_strict_one_says():
    data = flow("POST", PODS, {"metadata": {"name": "x"}}, answer={"a": [1, 2.5, None, True]})
    whole = decode(data)
    assert read_members(data, names(*whole)) == whole
    assert read_members(encode([1]), names("a")) is None
    assert read_members(encode({"a": {"b": 1, "c": 2}, "d": 3}), {b"a": names("b")}) == {"a": {"b": 1}}


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_what_is_cut_short_is_named_with_its_offset_and_the_rest_is_read(tmp_path, cut):
    whole = flow()
    (tmp_path / "s.flow").write_bytes(whole + whole[:-cut])
    found, bad = read_all(tmp_path / "s.flow")
    assert len(found) == 1
    assert bad[0].startswith(f"{tmp_path}/s.flow byte {len(whole)}: ")
    assert "cut short" in bad[0]


@pytest.mark.parametrize("damage", [b"garbage", b"\x00\x01\x02", b"999999999999:", b"12:abc"])
def test_after_damage_the_next_record_is_found(tmp_path, damage):
    one, two = flow(flow="a"), flow(flow="b")
    (tmp_path / "s.flow").write_bytes(one + damage + two)
    found, bad = read_all(tmp_path / "s.flow")
    assert [each.id for each in found] == ["audit-a", "audit-b"]
    assert f"byte {len(one)}" in bad[0]


def test_a_flipped_byte_inside_a_record_loses_that_record_only(tmp_path):
    one, two = flow(flow="a"), flow(flow="b")
    broken = one.replace(b"7:request;", b"9:request;")
    (tmp_path / "s.flow").write_bytes(broken + two)
    found, bad = read_all(tmp_path / "s.flow")
    assert [each.id for each in found] == ["audit-b"]
    assert bad[0].startswith(f"{tmp_path}/s.flow byte 0: ")


def test_a_flow_of_another_form_is_said_with_its_place(tmp_path):
    (tmp_path / "s.flow").write_bytes(encode({"type": "tcp"}) + encode({"request": {"method": b"GET"}}))
    found, bad = read_all(tmp_path / "s.flow")
    assert found == []
    assert "another form" in bad[0]
    assert "headers" in bad[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b"x"), "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"SQLite format 3\0", "database"),
        (b"[{}]", "JSON array"),
        (b'{"entry":{}}', "journal"),
        (b'{"log": {"entries": []}}'.replace(b": ", b":"), "HAR"),
        (b"\x7fELF\x00", "neither"),
        (b"GET / HTTP/1.1", "neither"),
    ],
)
def test_files_of_other_tools_are_named_for_what_they_are(tmp_path, content, said):
    (tmp_path / "x.log").write_bytes(content)
    found, bad = read_all(tmp_path / "x.log")
    assert found == []
    assert bad[0].startswith(f"{tmp_path}/x.log byte 0: ")
    assert said in bad[0]


def test_a_bad_line_is_named_with_number_and_offset_and_the_others_are_read(tmp_path):
    good = lines(event())
    data = good + b"{oops\n" + b'{"method": "GET"}\n' + b"[1]\n" + b"\n" + b"\xff\xfe\n" + lines(event(stage=5)) + good
    (tmp_path / "audit.log").write_bytes(data)
    found, bad = read_all(tmp_path / "audit.log")
    assert len(found) == 2
    assert [line.partition(": ")[0] for line in bad][:3] == [
        f"{tmp_path}/audit.log:{number} (byte {at})"
        for number, at in ((2, len(good)), (3, len(good) + 6), (4, len(good) + 6 + 18))
    ]
    assert "`path` is missing" in bad[1]
    assert len(bad) == 4


def test_lines_that_are_too_long_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 1000)
    (tmp_path / "a.log").write_bytes(lines(event(), event(x="y" * 5000), event()))
    found, bad = read_all(tmp_path / "a.log")
    assert len(found) == 2
    assert "limit 1000" in bad[0]
    monkeypatch.setattr(reading, "MAX_FLOW_BYTES", 2000)
    (tmp_path / "a.flow").write_bytes(flow() + flow(answer={"x": "y" * 5000}) + flow())
    found, bad = read_all(tmp_path / "a.flow")
    assert len(found) == 2
    assert "limit 2000" in bad[0]


@pytest.mark.parametrize("size", [1, 50, 333, 700, 100_000])
def test_pieces_of_lines_together_are_the_file(tmp_path, monkeypatch, size):
    monkeypatch.setattr(reading, "LINES_PIECE", size)
    (tmp_path / "a.log").write_bytes(lines(*(event(auditID=f"a{n}", x="y" * (n * 37 % 400)) for n in range(30))))
    found, bad = read_all(tmp_path / "a.log")
    assert [one.id for one in found] == [f"a{n}" for n in range(30)]
    assert bad == []


def test_pieces_of_flows_together_are_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "FLOWS_PIECE", 2500)
    (tmp_path / "a.flow").write_bytes(b"".join(flow(flow=f"{n}") for n in range(20)) + b"damage")
    bad = []
    cut = pieces(tmp_path / "a.flow", bad.append)
    assert len(cut) > 3
    found = [one for piece in cut for one in read(piece, bad.append)]
    assert [one.id for one in found] == [f"audit-{n}" for n in range(20)]
    assert len(bad) == 1


def test_event_lists_and_earlier_stages(tmp_path):
    listed = {"kind": "EventList", "items": [event(auditID="x"), event(auditID="y")]}
    (tmp_path / "a.log").write_bytes(lines(event(stage="RequestReceived"), listed, event(stage="ResponseStarted")))
    found, bad = read_all(tmp_path / "a.log")
    assert [one.id for one in found] == ["x", "y"]
    assert bad == []


def test_a_folder_means_the_recordings_in_it(tmp_path):
    (tmp_path / "recordings" / "2026-01-01").mkdir(parents=True)
    (tmp_path / "recordings" / "2026-01-01" / "s.flow").write_bytes(flow())
    (tmp_path / "recordings" / "2026-01-01" / "s.chain").write_bytes(b"{}")
    (tmp_path / "other.log").write_bytes(b"not a recording")
    (tmp_path / "workers" / "1" / "recordings").mkdir(parents=True)
    (tmp_path / "workers" / "1" / "recordings" / "w.flow").write_bytes(flow())
    assert [file.name for file in files_of([tmp_path])] == ["s.flow", "w.flow"]
    (tmp_path / "empty").mkdir()
    for path in ("empty", "missing"):
        with pytest.raises(RecordError, match=path):
            files_of([tmp_path / path])


def test_an_empty_file_is_no_request(tmp_path):
    (tmp_path / "a.log").write_bytes(b"")
    assert read_all(tmp_path / "a.log") == ([], [])
    (tmp_path / "a.flow").write_bytes(b"0:}")
    assert list(read(Piece(str(tmp_path / "a.flow"), 0, 3, flows=True), pytest.fail)) == []


def test_what_a_watch_sent_is_its_answer(tmp_path):
    (tmp_path / "s.flow").write_bytes(
        flow("GET", PODS + "?watch=true", answer=b"", flow="0-1") + flow(answer=b"", flow="0-2")
    )
    chunks = StreamEvents()
    (tmp_path / "s.0-1.events").write_bytes(
        chunks.feed(1.0, b'{"type":"ADDED"}\n{"ty') + chunks.feed(2.0, b'pe":"DELETED"}\n{"cut')
    )
    (watch, plain), bad = read_all(tmp_path / "s.flow")
    assert watch.answer.body == b'{"type":"ADDED"}\n{"type":"DELETED"}\n'
    assert (plain.answer.body, bad) == (b"", [])
    (tmp_path / "s.0-1.events").write_bytes(b"oops\n")
    (watch, _), bad = read_all(tmp_path / "s.flow")
    assert watch.answer.body == b""
    assert bad[0].startswith(f"{tmp_path}/s.0-1.events:1: ")


def test_after_damage_the_next_record_of_mitmproxy_is_found(tmp_path):
    one, two = mitmproxy_flow(meta(1)), mitmproxy_flow(meta(2))
    (tmp_path / "m.flow").write_bytes(one + b"damage" + two)
    found, bad = read_all(tmp_path / "m.flow")
    assert [each.id for each in found] == [meta(1).flow, meta(2).flow]
    assert [each.raw.method for each in found] == [b"GET", b"GET"]
    assert f"byte {len(one)}" in bad[0]
