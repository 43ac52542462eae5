"""Where a canary may hide: the search that every leak test uses (bodies, headers, frames, recordings, logs)."""

from __future__ import annotations

import base64
from urllib.parse import quote, quote_plus

VALUE = "CANARY-PW-7f3e9"
"""Not in any cluster; with a `-` and digits, so that escaping and base64 are exercised."""


def forms(value: str = VALUE) -> dict[str, bytes]:
    """Every form that is searched for, by name. Base64 at three offsets is without what its neighbours decide."""
    raw = value.encode()
    found = {
        "plain": raw,
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "url": quote(raw, safe="").encode(),
        "url-plus": quote_plus(raw).encode(),
        "json": value.replace("\\", "\\\\").replace('"', '\\"').encode(),
        "reversed bytes of protobuf": raw,
    }
    for offset, skip in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(b"\0" * offset + raw)
        found[f"base64+{offset}"] = encoded[skip : (offset + len(raw)) * 8 // 6]
        found[f"base64url+{offset}"] = found[f"base64+{offset}"].replace(b"+", b"-").replace(b"/", b"_")
    return found


def find(*outputs: bytes | str, value: str = VALUE) -> list[str]:
    """`form in output N` for each form that is there; [] is what a test wants."""
    texts = [output.encode("utf-8", "surrogatepass") if isinstance(output, str) else output for output in outputs]
    return [
        f"{name} in output {n}" for n, text in enumerate(texts) for name, form in forms(value).items() if form in text
    ]


def b64(value: str = VALUE) -> str:
    return base64.b64encode(value.encode()).decode()
