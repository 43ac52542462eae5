"""I/O (asyncio): the gateway's own calls to the API server: the one client that makes them.

Belongs here: TLS against the Cluster's CA, the credential (through the gate, for the verdict of `own_verdict`), limits
of time and size. Not here: what is asked (`pratique.kube.rehearsal`), what may be asked (`own_verdict`).

An answer holds raw values: it is judged, and masked before anybody sees it. Nothing of it is logged.
"""

from __future__ import annotations

import logging
import ssl
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.httputil import HTTPHeaders
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError, SimpleAsyncHTTPClient

from pratique.behalf import GATEWAY
from pratique.errors import CredentialError, OwnCallError, StartError
from pratique.identity.gate import attach_credential
from pratique.identity.impersonation import CallId
from pratique.identity.own_verdict import own_verdict
from pratique.identity.server import Server
from pratique.identity.sources import Sources
from pratique.identity.tls import TlsFiles
from pratique.kube.canonical import CanonicalRequest, RawRequest, canonicalise
from pratique.kube.rehearsal import OwnAnswer

logger = logging.getLogger("pratique")

CALL_SECONDS = 15.0  # a webhook has 10 s by default (admissionregistration timeoutSeconds); clients wait 30 s and more
CONNECT_SECONDS = 5.0
CALLS_AT_ONCE = 32  # the others wait, within CONNECT_SECONDS: own calls must not starve the clients' requests
ANSWER_BYTES = 16 * 1024 * 1024  # a list of SELECTED_LIMIT objects; one object is 1.5 MiB at most in etcd
USER_AGENT = b"pratique (own call)"
KEY_SET = canonicalise(
    RawRequest(b"GET", b"/openid/v1/jwks", ((b"Accept", b"*/*"), (b"Accept-Encoding", b"identity")), b"", "HTTP/1.1")
)


class OwnCalls:
    """Sends own calls to one cluster. Belongs to one event loop."""

    def __init__(
        self,
        server: Server,
        files: TlsFiles,
        tls_server_name: str | None,
        sources: Sources,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises StartError: the TLS files cannot be used."""
        self._server = server
        self._sources = sources
        self._clock = clock
        self._tls_server_name = tls_server_name
        self._context = _context(files)
        self._client: SimpleAsyncHTTPClient | None = None

    async def send(self, request: CanonicalRequest, audit_id: str) -> OwnAnswer:
        """The answer, whatever its code. `audit_id` names the call in the cluster's audit log (64 characters at most).

        One of an exchange (`CallId`) also says as whom, and with whose credential: what that client's role may not see is
        shown to nobody.

        Raises:
            OwnCallError: (503) no answer, or one that cannot be read.
            CredentialError: (503) no credential.
            Refused: (403) the gateway may not ask this for itself.
        """
        behalf = audit_id.behalf if isinstance(audit_id, CallId) else GATEWAY
        credential = await self._sources.credential(behalf, self._clock())
        given = [*request.headers, (b"User-Agent", USER_AGENT), (b"Audit-ID", audit_id.encode("ascii"))]
        account = audit_id.account if isinstance(audit_id, CallId) else None
        headers = attach_credential(given, own_verdict(request), credential, account)
        response = await self._fetch(self._prepared(request, headers))
        if response.code == 401:
            self._sources.rejected(behalf)
        answer = OwnAnswer(response.code, _document(response))
        path = request.target.partition(b"?")[0].decode("ascii")
        logger.info("own call %s %s (%s): %d", request.method, path, audit_id, answer.code)
        return answer

    async def key_set(self) -> bytes:
        """The keys of the cluster's ServiceAccount tokens, as JSON. Raises CredentialError: it does not give them."""
        try:
            answer = await self.send(KEY_SET, f"{uuid.uuid4()}-own-1-keys")
        except OwnCallError as error:
            raise CredentialError(str(error)) from None
        if not answer.ok:
            remedy = "Bind the ClusterRole `system:service-account-issuer-discovery` to the gateway's user"
            raise CredentialError(f"the cluster answers {answer.code} to `/openid/v1/jwks`", remedy)
        return msgspec.json.encode(answer.document)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _prepared(self, request: CanonicalRequest, headers: list[tuple[bytes, bytes]]) -> HTTPRequest:
        fields = HTTPHeaders()
        for name, value in headers:
            fields.add(name.decode("ascii"), value.decode("latin-1"))
        fields["Host"] = str(self._server).removeprefix("https://")
        return HTTPRequest(
            self._base() + request.target.decode("ascii"),
            method=request.method,
            headers=fields,
            body=request.body if request.body or request.method in {"POST", "PUT", "PATCH"} else None,
            follow_redirects=False,
            decompress_response=False,
            allow_nonstandard_methods=True,  # a DELETE has a body
            connect_timeout=CONNECT_SECONDS,
            request_timeout=CALL_SECONDS,
            ssl_options=self._context,
        )

    def _base(self) -> str:
        """The URL by the name that the certificate is verified for; `_opened` maps it to where the server is."""
        if self._tls_server_name is None:
            return str(self._server)
        return str(Server(self._server.scheme, self._tls_server_name, self._server.port))

    async def _fetch(self, prepared: HTTPRequest) -> HTTPResponse:
        try:
            return await self._opened().fetch(prepared, raise_error=False)
        except ssl.SSLCertVerificationError as error:
            raise OwnCallError(f"the API server's certificate is not that of its CA: {error.verify_message}") from None
        except HTTPTimeoutError as error:
            raise OwnCallError(f"the API server did not answer in time: {str(error).lower()}") from None
        except (HTTPStreamClosedError, HTTPClientError, OSError, ValueError, EOFError) as error:
            raise OwnCallError(f"the API server cannot be reached: {type(error).__name__}") from None

    def _opened(self) -> SimpleAsyncHTTPClient:
        if self._client is None:
            mapping = {self._tls_server_name: self._server.host} if self._tls_server_name else None
            self._client = SimpleAsyncHTTPClient(
                force_instance=True,
                max_clients=CALLS_AT_ONCE,
                max_body_size=ANSWER_BYTES,
                max_buffer_size=ANSWER_BYTES,
                hostname_mapping=mapping,
            )
        return self._client


def _context(files: TlsFiles) -> ssl.SSLContext:
    """INVARIANT: the server is verified against the Cluster's CA, and against no other."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(files.certificate_authority))
        if files.client_certificate is not None:
            context.load_cert_chain(str(files.client_certificate))
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"the cluster's TLS files cannot be used: {type(error).__name__}") from None
    # Python 3.13 wants an Authority Key Identifier, which certificates of EKS and of older kubeadm clusters lack; the
    # clients' own requests are verified without it too.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _document(response: HTTPResponse) -> Any:
    try:
        return msgspec.json.decode(response.body or b"null")
    except msgspec.DecodeError:
        raise OwnCallError(f"the API server's answer ({response.code}) is not JSON") from None
