"""An admin listener in the test's process, on loopback with TLS, and a caller for it."""

from __future__ import annotations

import asyncio
import datetime
import http.client
import ipaddress
import json
import ssl
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pratique.approvals.admin.api import COOKIE, Context
from pratique.approvals.admin.links import Links
from pratique.approvals.admin.server import Address, AdminServer, tls_from
from pratique.approvals.desk import Desk
from pratique.approvals.reviewers import Reviewers, new_reviewer_key, reviewer_document
from pratique.approvals.revoking import RevocationDesk
from pratique.documents import parse
from pratique.identity.revoking.sqlite_store import FILE_NAME as REVOCATIONS
from pratique.identity.revoking.sqlite_store import SqliteRevocations
from pratique.observing.readiness import Outcome, Readiness

KEYS = {name: new_reviewer_key(name, name.encode().ljust(32, b"-")) for name in ("alice", "bob", "shop-only")}


def reviewers(*names):
    texts = []
    for name in names or KEYS:
        spaces = ["shop"] if name == "shop-only" else []
        texts.append(reviewer_document(name, KEYS[name].sha256, namespaces=spaces))
    return Reviewers.from_documents([document for text in texts for document in parse(text, "r.yaml")])


def certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    made = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    file = folder / "admin.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(pem + made.public_bytes(Encoding.PEM))
    return file


class Answer:
    def __init__(self, response):
        self.code = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.cookies = [value for name, value in response.getheaders() if name.lower() == "set-cookie"]
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def message(self):
        return self.json["error"]["message"]


class Admin:
    """Serves a store. `clock` is the listener's; `reviewers` can be replaced while it runs."""

    def __init__(self, store, folder, clock):
        self.reviewers = reviewers()
        self.held = set()
        self.links = Links(b"k" * 32)
        self._pem = certificate(folder)
        self.readiness = Readiness((Outcome("serving"),))
        self.revocations = SqliteRevocations(folder / REVOCATIONS)
        self.context = Context(
            Desk(store, clock),
            RevocationDesk(self.revocations, clock),
            self,
            lambda: self.reviewers,
            self.links,
            lambda: self.held,
            "gateway.example",
            clock=clock,
        )
        self.server = AdminServer(Address("127.0.0.1", 0), folder, tls_from(self._pem))
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._started.wait(30)

    async def _run(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.address = self.server.bind()
        self.server.serve(self.context, self.address.url)
        self._started.set()
        await self._stop.wait()
        self.server.stop()

    async def ready(self):
        return self.readiness

    async def metrics(self):
        return b"pratique_ready 1\n"

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    @property
    def host(self):
        return f"127.0.0.1:{self.address.port}"

    def call(self, method, path, body=None, *, key=None, cookie=None, origin=True, **headers):
        """`key`: a reviewer's name; `cookie`: of a session. Other headers by name, `_` for `-`."""
        tls = ssl.create_default_context(cafile=str(self._pem))
        connection = http.client.HTTPSConnection("127.0.0.1", self.address.port, context=tls, timeout=30)
        sent = {"Host": self.host}
        if method != "GET":
            sent["Content-Type"] = "application/json"
            if origin:
                sent["Origin"] = f"https://{self.host}"
        if key:
            sent["Authorization"] = f"Bearer {KEYS[key].key.reveal() if key in KEYS else key}"
        if cookie:
            sent["Cookie"] = cookie
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            connection.request(method, path, body=data, headers={n: v for n, v in sent.items() if v is not None})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def login(self, name="alice"):
        """The session's cookie."""
        answer = self.call("POST", "/api/v1/login", {"key": KEYS[name].key.reveal()})
        assert answer.code == 200, answer.body
        (cookie,) = answer.cookies
        assert cookie.startswith(f"{COOKIE}=")
        return cookie.partition(";")[0]

    def nonce(self, approval_id, **who):
        return self.call("GET", f"/api/v1/approvals/{approval_id}", **who).json["nonce"]

    def decide(self, approval_id, decision="approve", nonce=None, headers=None, *, fresh=True, **fields):
        who = {name: fields.pop(name) for name in ("key", "cookie") if name in fields}
        nonce = nonce or (self.nonce(approval_id, **who) if fresh else "none")
        body = {"decision": decision, "nonce": nonce, **fields}
        return self.call("POST", f"/api/v1/approvals/{approval_id}/decision", body, **who, **(headers or {}))
