"""Documents, clocks and certificates for the tests of the identity room."""

from __future__ import annotations

import asyncio
import datetime
import functools
import textwrap

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pratique.documents import parse


def documents(text, file="policies/identity.yaml"):
    return parse(textwrap.dedent(text), file)


class VirtualTime:
    """A clock that moves when somebody sleeps."""

    def __init__(self, now=1_700_000_000.0):
        self.now = now
        self.slept = []

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class HandTime(VirtualTime):
    """A clock that only the test moves; who sleeps wakes when it is moved past their time."""

    def __init__(self, now=1_700_000_000.0):
        super().__init__(now)
        self._sleepers = []

    async def sleep(self, seconds):
        self.slept.append(seconds)
        wake = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, wake))
        await wake

    async def pass_(self, seconds, step=30.0):
        """In steps, each long enough for what woke up to finish (threads included)."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self.now]
            self._sleepers = [sleeper for sleeper in self._sleepers if sleeper not in due]
            for _, wake in due:
                if not wake.done():
                    wake.set_result(None)
            await settle()


async def settle():
    """Lets every other task of the loop come to rest (or to a sleep of the clock)."""
    me = asyncio.current_task()
    for _ in range(3):
        await asyncio.sleep(0)
    for _ in range(500):
        fetching = [t for t in asyncio.all_tasks() if t is not me and "_fetch_once" in repr(t)]
        if not fetching:
            break
        await asyncio.wait(fetching, timeout=0.1)
        await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)


@functools.cache
def certificate(name="ca"):
    """PEM of a self-signed certificate and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    pem = built.public_bytes(serialization.Encoding.PEM).decode()
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    return pem, private
