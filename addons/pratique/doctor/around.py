"""What a client must not reach, asked from where it runs: `pratique doctor --as-client`.

Belongs here: the list, and what each answer means. Not here: connecting (`probes.answers_tcp`, given as an argument).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pratique.doctor.findings import Finding, State

# Where credentials can be had without asking anybody: instance metadata (IPv4, IPv6), EKS Pod Identity, ECS.
METADATA = (
    ("169.254.169.254", 80, "the instance metadata service", "Give the nodes IMDSv2 with hop limit 1, and block it by NetworkPolicy"),
    ("fd00:ec2::254", 80, "the instance metadata service (IPv6)", "Block it by NetworkPolicy"),
    ("169.254.170.23", 80, "the EKS Pod Identity agent", "Give the client's ServiceAccount no association, and block it by NetworkPolicy"),
)  # fmt: skip
SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
AWS_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_PROFILE",
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is to be seen from the client's place. `endpoints` and `gateway` are (host, port)."""

    endpoints: tuple[tuple[str, int], ...]
    gateway: tuple[str, int] | None
    environment: Mapping[str, str]
    has_token: bool
    """Whether a ServiceAccount token is mounted where every pod has it at first."""


def around(seen: Surroundings, answers: Callable[[str, int], bool]) -> Iterator[Finding]:
    """`answers(host, port)`: whether a TCP connection is accepted."""
    if seen.gateway is not None:
        yield _gateway(seen.gateway, answers)
    for host, port in seen.endpoints:
        yield _endpoint(host, port, answers)
    for host, port, what, remedy in METADATA:
        if answers(host, port):
            yield Finding("credentials", State.BROKEN, f"{what} ({host}) answers: a role can be had there", remedy)
        else:
            yield Finding("credentials", State.OK, f"{what} ({host}) does not answer")
    names = [name for name in AWS_VARIABLES if seen.environment.get(name)]
    if names:
        remedy = "Take the role from the client: in IAM mode an MCP server goes to the cluster by itself"
        yield Finding("credentials", State.BROKEN, f"AWS credentials are at hand ({', '.join(names)})", remedy)
    if seen.has_token:
        remedy = "Set `automountServiceAccountToken: false`: the client has the gateway's API key"
        yield Finding("credentials", State.WARNING, "a ServiceAccount token is mounted", remedy)


def _gateway(gateway: tuple[str, int], answers: Callable[[str, int], bool]) -> Finding:
    place = f"{gateway[0]}:{gateway[1]}"
    if answers(*gateway):
        return Finding("gateway", State.OK, f"`{place}` answers")
    remedy = "Check its Service, and the NetworkPolicy of the client's namespace"
    return Finding("gateway", State.BROKEN, f"`{place}` does not answer", remedy)


def _endpoint(host: str, port: int, answers: Callable[[str, int], bool]) -> Finding:
    place = f"{host}:{port}"
    if not answers(host, port):
        return Finding("around", State.OK, f"`{place}` does not answer: there is no way around the gateway")
    remedy = (
        "Apply the NetworkPolicy for clients (scripts/deploy/clients), with a CNI that enforces it; let the endpoint's "
        "security group take the gateway only"
    )
    return Finding("around", State.BROKEN, f"the API server `{place}` answers around the gateway", remedy)
