"""I/O: the calls of `doctor`: to AWS as Role X, to the API server with a token, to addresses that should not answer.

Belongs here: making the calls, with time limits, and turning their failures into findings. Not here: what an answer means
(`findings`), the order (`examine`).
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Any

from pratique.doctor.findings import Finding, State
from pratique.errors import CredentialError
from pratique.identity.assume_role import assume_role_error, aws_failure
from pratique.identity.clusters import EksSource
from pratique.identity.eks_source import sts_client
from pratique.identity.gate import Credential, attach_credential
from pratique.identity.server import Server
from pratique.verdict import Action, Verdict

CALL_SECONDS = 15.0
CONNECT_SECONDS = 5.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024  # a rules review of a cluster with many roles is some 100 KB
RULE = "builtin/doctor"


class UnreachableError(Exception):
    """The API server cannot be asked; the finding says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.says)
        self.finding = finding


class ApiServer:
    """One API server, verified against `authority` (PEM) and nothing else."""

    def __init__(
        self, server: Server, authority: str, tls_server_name: str | None, certificate: str | None = None
    ) -> None:
        """`certificate`: a file with the client certificate and its key. Raises UnreachableError: the CA is none."""
        self._server = server
        self._name = tls_server_name or server.host
        try:
            self._context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=authority)
            if certificate is not None:
                self._context.load_cert_chain(certificate)
        except (ssl.SSLError, OSError, ValueError):
            remedy = "Copy the cluster's CA again (`eks describe-cluster`: certificateAuthority)"
            raise UnreachableError(
                Finding("endpoint", State.BROKEN, "the Cluster's CA is not usable", remedy)
            ) from None
        self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as for the gateway's own calls

    def version(self) -> tuple[int, float | None]:
        """The code of GET /version without a credential, and how far the server's clock is ahead (seconds)."""
        code, headers, _ = self._call("GET", "/version", None, {})
        try:
            return code, parsedate_to_datetime(headers["Date"]).timestamp() - time.time()
        except (KeyError, TypeError, ValueError):
            return code, None

    def review(self, kind: str, group: str, spec: dict[str, Any], credential: Credential) -> tuple[int, Any]:
        """Posts a review (`SelfSubjectReview` …) and gives code and document. Nothing is stored by the server."""
        body = {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec}
        if not spec:
            del body["spec"]
        attached = attach_credential([], Verdict(Action.ALLOW, (RULE,)), credential)
        headers = {name.decode(): value.decode() for name, value in attached}
        code, _, document = self._call("POST", f"/apis/{group}/v1/{kind.lower()}s", body, headers)
        return code, document

    def _call(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any, Any]:
        try:
            connection = self._connected()
            sent = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "pratique (doctor)"}
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {**sent, **headers})
            response = connection.getresponse()
            content = response.read(MAX_ANSWER_BYTES)
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(unreachable(str(self._server), error)) from None
        try:
            return response.status, response.headers, json.loads(content)
        except ValueError:
            return response.status, response.headers, None

    def _connected(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._server.host, self._server.port, timeout=CALL_SECONDS)
        plain = socket.create_connection((self._server.host, self._server.port), timeout=CONNECT_SECONDS)
        try:
            connection.sock = self._context.wrap_socket(plain, server_hostname=self._name)
        except BaseException as error:
            plain.close()
            if isinstance(error, TimeoutError):
                raise ssl.SSLError("no handshake in time") from None
            raise
        connection.sock.settimeout(CALL_SECONDS)
        return connection


def unreachable(server: str, error: Exception) -> Finding:
    """Which part of the way is broken."""
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = (
            "Set `tlsServerName` to the name in its certificate"
            if error.verify_code in {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
            else "Copy the cluster's CA again, or look for a proxy that takes TLS apart"
        )
        return Finding("endpoint", State.BROKEN, f"the certificate of `{server}`: {error.verify_message}", remedy)
    if isinstance(error, ssl.SSLError):
        return Finding("endpoint", State.BROKEN, f"`{server}` speaks no TLS", "Check `server` of the Cluster")
    if isinstance(error, socket.gaierror):
        remedy = "Check `server` and DNS; a private endpoint has a name only inside its VPC"
        return Finding("endpoint", State.BROKEN, f"the name of `{server}` is not known here", remedy)
    if isinstance(error, TimeoutError):
        remedy = "Check security groups, NetworkPolicies and routes from here to the endpoint"
        return Finding("endpoint", State.BROKEN, f"`{server}` does not answer", remedy)
    remedy = "Check `server`, and what stands between (security groups, NetworkPolicies, proxy)"
    return Finding("endpoint", State.BROKEN, f"`{server}` cannot be reached ({type(error).__name__})", remedy)


class Aws:
    """AWS as Role X. Every failure is a CredentialError with its remedy."""

    def __init__(self, eks: EksSource) -> None:
        self._eks = eks
        self._client: Any = None

    def identity(self) -> tuple[str, str]:
        """ARN, and botocore's name of where the credentials came from."""
        try:
            import boto3  # noqa: PLC0415 - 70 ms and 30 MB that only EKS clusters need

            found = boto3.session.Session(region_name=self._eks.region).get_credentials()
            arn = str(self._sts().get_caller_identity()["Arn"])
        except Exception as error:  # noqa: BLE001 - botocore raises classes of its own making
            what, remedy = aws_failure(*_parts(error))
            raise CredentialError(what, remedy) from None
        return arn, str(getattr(found, "method", "") or "an unknown source")

    def assume(self, request: dict[str, Any]) -> Any:
        """The answer of sts:AssumeRole."""
        try:
            return self._sts().assume_role(**request)
        except Exception as error:  # noqa: BLE001 - as above
            raise assume_role_error(*_parts(error), request["RoleArn"]) from None

    @property
    def sts_endpoint(self) -> str:
        return str(self._sts().meta.endpoint_url)

    def cluster(self) -> dict[str, Any]:
        """`cluster` of eks:DescribeCluster."""
        try:
            import boto3  # noqa: PLC0415 - as above
            from botocore.config import Config  # noqa: PLC0415

            config = Config(
                connect_timeout=CONNECT_SECONDS, read_timeout=CALL_SECONDS, retries={"total_max_attempts": 1}
            )
            client = boto3.session.Session(region_name=self._eks.region).client("eks", config=config)
            described: dict[str, Any] = client.describe_cluster(name=self._eks.cluster_name)["cluster"]
        except Exception as error:  # noqa: BLE001 - as above
            name, code, _, _ = _parts(error)
            raise CredentialError(f"eks:DescribeCluster: `{code or name}`") from None
        return described

    def _sts(self) -> Any:
        if self._client is None:
            self._client = sts_client(self._eks)
        return self._client


def _parts(error: Exception) -> tuple[str, str, str, str]:
    response = getattr(error, "response", None) or {}
    code = str((response.get("Error") or {}).get("Code", ""))
    return type(error).__name__, code, str(getattr(error, "operation_name", "")), str(error)


def answers_tcp(host: str, port: int, seconds: float = CONNECT_SECONDS) -> bool:
    """Whether somebody accepts a connection there."""
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return True
    except OSError:
        return False
