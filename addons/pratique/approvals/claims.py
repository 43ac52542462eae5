"""What a client says of itself, and how its kind of client is best told to wait.

Belongs here: which headers are claims, and the table of client kinds. Not here: who the client is (its API key says that).
Pure. Anybody can send any of these headers: they are shown as claims, and decide nothing but how the wait is answered.

Facts (client-behaviour, measured): client-go repeats a 429 with an integer Retry-After ten times, silently; the Python and
JavaScript clients do not repeat a POST; an MCP server shows the message of a 403 to the model, which can repeat.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from pratique.approvals.answers import Waits
from pratique.approvals.words import escaped_prose

MAX_CLAIM_CHARACTERS = 256
CLAIMS = {b"user-agent": "User-Agent", b"kubectl-command": "Kubectl-Command", b"mcp-client": "Mcp-Client"}

# client-go's DefaultKubernetesUserAgent: `controller/v1.2 (linux/amd64) kubernetes/abcdef` (rest/config.go, 0.36).
_CLIENT_GO = re.compile(r"(?P<program>[\w.-]+)/\S+ \(\w+/\w+\) kubernetes/\w+")
_PATIENT = re.compile(r"(?:Helm|Terraform|HashiCorp|argocd|flux)[/ -]", re.IGNORECASE)
# A person or a model reads; ten silent repeats look like a hang. Programs are installed as kubectl-1.36 or kubectl.exe, too.
_SHOWS_ERRORS = re.compile(r"(?:kubectl|oc|k9s)(?![A-Za-z])")
# client-go's remotecommand reads the Status at the end of a stream, and shows its text. Not so the Python client, whose
# `stream` returns what came on stdout and stderr: to it a refusal after the 101 would look like output.
_READS_THE_STATUS = re.compile(r"[\w.-]+/\S+ \(\w+/\w+\) kubernetes/\S+|kubernetes-mcp-server/")


def claims_of(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Escaped and cut; the first of each name."""
    found: dict[str, str] = {}
    for name, value in headers:
        claim = CLAIMS.get(name.lower())
        if claim is not None and value:
            found.setdefault(claim, escaped_prose(value.decode("utf-8", "replace")[:MAX_CLAIM_CHARACTERS]))
    return found


def reads_the_status(user_agent: str) -> bool:
    """Whether an exec may be refused after its 101: the client takes a Status at the end for what it is."""
    return bool(_READS_THE_STATUS.match(user_agent))


def has_a_person(user_agent: str) -> bool:
    """Whether somebody sees a line on stderr at once, and can wait for minutes."""
    return bool(_SHOWS_ERRORS.match(user_agent))


def waits_of(wanted: Literal["auto", "refuse", "retry"], user_agent: str, *, is_upgrade: bool = False) -> Waits:
    """How to answer when a hold ends undecided: what the Client document says, else what suits the kind of client.

    An upgrade is never told to retry: no client repeats one, kubectl falls back to SPDY at once (client-behaviour 3).
    """
    if is_upgrade:
        return "refuse"
    if wanted != "auto":
        return wanted
    if "mcp" in user_agent.lower():
        return "refuse"
    match = _CLIENT_GO.match(user_agent)
    if match:
        return "refuse" if _SHOWS_ERRORS.match(match["program"]) else "retry"
    return "retry" if _PATIENT.match(user_agent) else "refuse"
