"""Signed links that lead from a message to an approval, once.

Belongs here: making and redeeming them. Not here: who may decide (a link logs nobody in), sending them (`webhooks`). Pure;
time is an argument, seconds since the epoch.

The token stands behind the `#` of the URL: browsers do not send that part, so that it is in no log and no Referer, and a
chat program that fetches the link to show a preview uses nothing up.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict

from pratique.errors import Refused

LINK_SECONDS = 24 * 3600.0
MAX_REDEEMED = 10_000  # remembered; a link that is forgotten has long expired
KEY_BYTES = 32
_TOKEN = re.compile(
    r"(?P<approval>[a-z0-9-]{1,40})\.(?P<expires>\d{1,12})\.(?P<id>[A-Za-z0-9_-]{16})\.(?P<mac>[\w-]{43})"
)


class Links:
    """`key` signs; it is the gateway's own and stays in its state folder."""

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"a link key has {KEY_BYTES} bytes")
        self._key = key
        self._redeemed: OrderedDict[str, None] = OrderedDict()

    def token(self, approval_id: str, now: float) -> str:
        text = f"{approval_id}.{int(now + LINK_SECONDS)}.{secrets.token_urlsafe(12)}"
        return f"{text}.{self._mac(text)}"

    def redeem(self, token: str, now: float) -> str:
        """The approval's id, once. Raises Refused: (403) not one of ours; (410) expired, or used before."""
        match = _TOKEN.fullmatch(token)
        text = token.rpartition(".")[0]
        if match is None or not hmac.compare_digest(match["mac"], self._mac(text)):
            raise Refused(403, "Forbidden", "this link is not the gateway's", rule="admin/link")
        if now >= int(match["expires"]) or match["id"] in self._redeemed:
            message = "this link has been used, or is too old. Open the list"
            raise Refused(410, "Gone", message, rule="admin/link")
        self._redeemed[match["id"]] = None
        while len(self._redeemed) > MAX_REDEEMED:
            self._redeemed.popitem(last=False)
        return match["approval"]

    def _mac(self, text: str) -> str:
        digest = hmac.digest(self._key, b"pratique link 1 " + text.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
