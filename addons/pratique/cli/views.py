"""Recorded bodies as text for people: objects, lists and Tables, watch events, frames of exec. Pure.

Belongs here: bytes in, readable text out, ValueError where they are something else; masked values and failures stand out.
Not here: mitmproxy's content views (`web`), which show this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pratique.masking.mask import MARK, NUMBER, Mask
from pratique.recorder.terminal import TerminalFilter

MASKED = "  # ◀ masked"
BASE64_MARK = Mask().base64[:24]
"""What the base64 of every mask begins with, whatever its tag."""
CHANNELS = {0: "stdin", 1: "stdout", 2: "stderr", 3: "status", 4: "resize", 255: "close"}
"""Of `v5.channel.k8s.io` (KEP-4006)."""
_PLAIN = re.compile(r"[A-Za-z_/][\w./@ -]*[\w/]|[A-Za-z_]")
_WORDS_OF_YAML = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


def is_masked(value: Any) -> bool:
    """Whether a scalar is a mask, or a text that holds one."""
    if isinstance(value, str):
        return MARK in value or value.startswith(BASE64_MARK)
    return value == NUMBER and not isinstance(value, bool)


def object_text(body: bytes) -> str:
    """A JSON body as YAML, masks marked; a Status begins with its outcome, a Table is aligned. ValueError if no object."""
    value = json.loads(body)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - the contract of every view
    if value.get("kind") == "Table" and isinstance(value.get("rows"), list):
        return _table(value)
    head = list(_status(value)) if value.get("kind") == "Status" else []
    items = value.get("items")
    if isinstance(items, list):
        head.append(f"# {value.get('kind', 'List')}: {len(items)} items")
    return "\n".join([*head, *_yaml(value, 0)]) + "\n"


def _status(value: dict[str, Any]) -> Iterator[str]:
    """A Status at a glance, as comments in front of it."""
    sign = "✔" if value.get("status") == "Success" else "✖"
    words = (sign, value.get("status"), value.get("code"), value.get("reason"))
    yield "# " + " ".join(str(word) for word in words if word)
    if value.get("message"):
        yield f"# {_one_line(str(value['message']))}"
    details = value.get("details")
    for cause in details.get("causes") or () if isinstance(details, dict) else ():
        if isinstance(cause, dict):
            yield f"#   {cause.get('field', '')}: {_one_line(str(cause.get('message', '')))} ({cause.get('reason', '')})"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _table(value: dict[str, Any]) -> str:
    names = [str(column.get("name", "")).upper() for column in value.get("columnDefinitions") or ()]
    rows = [[str(cell) for cell in row.get("cells") or ()] for row in value["rows"]]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=False)]
    lines = [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        + (MASKED if any(map(is_masked, row)) else "")
        for row in (names, *rows)
    ]
    return "\n".join([f"# Table: {len(rows)} rows", *lines]) + "\n"


def _yaml(value: Any, depth: int) -> Iterator[str]:
    """YAML, of which JSON is a part: what cannot stand plain stands in double quotes."""
    indent = "  " * depth
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _member(f"{indent}{_text(key)}:", item, depth)
    elif isinstance(value, list) and value:
        for item in value:
            if isinstance(item, dict | list) and item:
                first, *rest = _yaml(item, depth + 1)
                yield f"{indent}- {first.lstrip()}"
                yield from rest
            else:
                yield f"{indent}- {_scalar(item)}"
    else:
        yield indent + _scalar(value)


def _member(head: str, item: Any, depth: int) -> Iterator[str]:
    if isinstance(item, dict | list) and item:
        yield head
        yield from _yaml(item, depth + isinstance(item, dict))
    else:
        yield f"{head} {_scalar(item)}"


def _scalar(value: Any) -> str:
    shown = _text(value) if isinstance(value, str) else json.dumps(value)
    return shown + (MASKED if is_masked(value) else "")


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_YAML:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def watch_text(body: bytes) -> str:
    """Watch events as a list, one line each: number, type, kind, name, what tells its state, what is masked."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    events = [json.loads(line) for line in lines]
    if not events or not all(isinstance(event, dict) and isinstance(event.get("object"), dict) for event in events):
        raise ValueError("no watch events")
    width = len(str(len(events)))
    shown = [f"{number:>{width}}  {_event(event)}" for number, event in enumerate(events, 1)]
    return "\n".join([f"# {len(events)} watch events", *shown]) + "\n"


def _event(event: dict[str, Any]) -> str:
    value = event["object"]
    if value.get("kind") == "Status":
        return f"{event.get('type', ''):<8}  " + " ".join(line.lstrip("# ") for line in _status(value))
    meta = value.get("metadata") if isinstance(value.get("metadata"), dict) else {}
    name = "/".join(str(part) for part in (meta.get("namespace"), meta.get("name")) if part)
    said = [str(value.get("kind", "")), name, _state(value), f"rv={meta.get('resourceVersion', '')}"]
    masked = list(_masked_paths(value, ""))
    line = f"{event.get('type', ''):<8}  " + "  ".join(part for part in said if part)
    return line + (f"{MASKED}: {', '.join(masked)}" if masked else "")


def _state(value: dict[str, Any]) -> str:
    """`Running`, `Scheduled: assigned …`, or nothing."""
    status = value.get("status")
    phase = str(status.get("phase") or "") if isinstance(status, dict) else ""
    if value.get("kind") == "Event":
        return _one_line(f"{value.get('reason', '')}: {value.get('message') or value.get('note') or ''}")
    return phase


def _masked_paths(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _masked_paths(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _masked_paths(item, f"{path}[{number}]")
    elif is_masked(value):
        yield path


def frame_text(frame: bytes) -> str:
    """One frame of exec: the channel's name and its text. ValueError for an empty frame or an unknown channel."""
    if not frame or frame[0] not in CHANNELS:
        raise ValueError("no frame of v5.channel.k8s.io")
    name, data = CHANNELS[frame[0]], frame[1:]
    if name == "status":
        return f"status │ {_outcome(data)}"
    if name == "close":
        return f"close  │ {CHANNELS.get(data[0], '?') if data else ''}"
    text = TerminalFilter(plain=True).feed(data.decode("utf-8", "replace"))
    return "\n".join(f"{name:<6} │ {line}" for line in text.splitlines() or [""])


def _outcome(data: bytes) -> str:
    try:
        value = json.loads(data)
        details = value.get("details") or {}
        codes = [c.get("message") for c in details.get("causes") or () if c.get("reason") == "ExitCode"]
    except (ValueError, AttributeError):
        return data.decode("utf-8", "replace")
    if value.get("status") == "Success":
        return "✔ exit 0"
    return f"✖ {f'exit {codes[0]}' if codes else value.get('reason') or 'failed'}: {_one_line(str(value.get('message', '')))}"
