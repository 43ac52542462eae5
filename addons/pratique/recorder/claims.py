"""What a client says about itself: could be a lie, so it is stored as a claim and decides nothing.

Belongs here: `Kubectl-Session`, `Kubectl-Command`, the user agent and the MCP client named in it. Pure. Not here: who the
client is (`pratique.identity`).

kubernetes-mcp-server appends the MCP client to its user agent: `kubernetes-mcp-server/v0.0.67 (linux/amd64) claude/1.2`
(reference dependencies §8). kubectl appends its own commit, `kubectl/v1.36.2 (linux/amd64) kubernetes/8d1e3f4`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pratique.recorder.scrub import scrub_value

MAX_CLAIM = 256
"""Characters; the longest honest user agent is some 120."""

_KUBECTL_SESSION = re.compile(r"[0-9a-fA-F-]{8,64}")
_MCP_SERVER = re.compile(r"[^\s(]*mcp[^\s(]*/\S+\s+\([^)]{0,64}\)\s+(?P<client>[^\s/(]{1,64}/\S{1,64})", re.IGNORECASE)


def kubectl_session(headers: Mapping[str, str]) -> str:
    """The id that one invocation of kubectl sends with all its requests (KEP-859); empty where it is malformed."""
    value = headers.get("kubectl-session", "")
    return value if _KUBECTL_SESSION.fullmatch(value) else ""


def user_agent(headers: Mapping[str, str]) -> str:
    """Scrubbed and bounded."""
    return scrub_value(headers.get("user-agent", "")[:MAX_CLAIM])


def mcp_client(agent: str) -> str:
    """`name/version` of the MCP client that a user agent names; empty where it names none."""
    found = _MCP_SERVER.match(agent)
    return found["client"] if found else ""


def claims(headers: Mapping[str, str]) -> dict[str, str]:
    """All of them that are there. `headers` is by lower-case name."""
    agent = user_agent(headers)
    found = {
        "user_agent": agent,
        "mcp_client": mcp_client(agent),
        "kubectl_session": kubectl_session(headers),
        "kubectl_command": scrub_value(headers.get("kubectl-command", "")[:MAX_CLAIM]),
    }
    return {name: value for name, value in found.items() if value}
