"""boto3's STS client by a virtual clock, in front of the sandbox's STS, which verifies what is really signed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import urlencode

from botocore.exceptions import ClientError, EndpointConnectionError

from pratique.sandbox import sigv4
from pratique.sandbox.sigv4 import Request

HOST = "sts.eu-west-1.amazonaws.com"


class VirtualStsClient:
    """What `EksCredentialSource` uses of a client. `down`: nobody answers."""

    def __init__(self, sts, key, secret, clock):
        self.meta = SimpleNamespace(endpoint_url=f"https://{HOST}")
        self.sts, self.key, self.secret, self.clock = sts, key, secret, clock
        self.down, self.asked = False, []

    def assume_role(self, **parameters):
        self.asked.append((self.clock(), parameters["RoleSessionName"]))
        if self.down:
            raise EndpointConnectionError(endpoint_url=f"https://{HOST}")
        tags = parameters.pop("Tags", [])
        for number, tag in enumerate(tags, 1):
            parameters |= {f"Tags.member.{number}.{name}": value for name, value in tag.items()}
        answer = self.sts.handle(
            self._signed(urlencode({"Action": "AssumeRole", "Version": "2011-06-15", **parameters})), self.clock()
        )
        document = json.loads(answer.body)
        if answer.code != 200:
            raise ClientError(document, "AssumeRole")
        result = document["AssumeRoleResponse"]["AssumeRoleResult"]
        given = result["Credentials"]
        return {"Credentials": {**given, "Expiration": datetime.fromisoformat(given["Expiration"]).astimezone(UTC)}}

    def _signed(self, body):
        stamp = datetime.fromtimestamp(self.clock(), UTC).strftime("%Y%m%dT%H%M%SZ")
        signed = sigv4.Signed(
            self.key, stamp[:8], "eu-west-1", "sts", stamp, ("host", "x-amz-date"), "", "", presigned=False
        )
        headers = {"host": HOST, "x-amz-date": stamp, "accept": "application/json"}
        request = Request("POST", "/", "", headers, body.encode())
        signature = sigv4.signature(self.secret, sigv4.canonical_request(request, signed), signed)
        scope = f"{self.key}/{stamp[:8]}/eu-west-1/sts/aws4_request"
        headers["authorization"] = (
            f"{sigv4.ALGORITHM} Credential={scope}, SignedHeaders=host;x-amz-date, Signature={signature}"
        )
        return Request("POST", "/", "", headers, body.encode())
