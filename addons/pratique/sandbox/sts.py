"""A security token service for loopback: AssumeRole and GetCallerIdentity, with every signature really verified.

Pure: a request in parts and the time go in, an answer comes out; `server` puts it on HTTP. The rules are those of AWS
STS (API version 2011-06-15): trust lists, session names, durations, the 1 h limit of chained roles, tags.
"""

from __future__ import annotations

import hmac
import json
import random
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from pratique.sandbox import sigv4
from pratique.sandbox.sigv4 import Request, SignatureError
from pratique.sandbox.store import rfc3339

JSON = dict[str, Any]

CHAINED_LIMIT = 3600  # seconds; a role session may not assume a role for longer
SHORTEST = 900  # seconds
NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
MAX_TAGS = 50
_METADATA = "<ResponseMetadata><RequestId>sandbox</RequestId></ResponseMetadata>"
_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True, slots=True)
class User:
    """A long-lived principal: an IAM user, or the role of a machine."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    arn: str = ""
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """`trusted` are the ARNs (of users or roles) that its trust policy names."""

    arn: str
    role_id: str
    trusted: tuple[str, ...]
    max_session: int = 3600

    @property
    def name(self) -> str:
        return self.arn.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class Session:
    """What AssumeRole gave out."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    token: str = field(repr=False)
    role: Role = field(default_factory=lambda: Role("", "", ()))
    name: str = ""
    expires: float = 0.0
    source_identity: str = ""
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def arn(self) -> str:
        account = self.role.arn.split(":")[4]
        return f"arn:aws:sts::{account}:assumed-role/{self.role.name}/{self.name}"

    @property
    def user_id(self) -> str:
        return f"{self.role.role_id}:{self.name}"


@dataclass(frozen=True, slots=True)
class Response:
    code: int
    content_type: str
    body: bytes


class Sts:
    def __init__(self, region: str, users: list[User], roles: list[Role], seed: int = 7) -> None:
        self.region = region
        self.users = {user.access_key_id: user for user in users}
        self.roles = {role.arn: role for role in roles}
        self.sessions: dict[str, Session] = {}
        self.throttled = False
        self._random = random.Random(seed)

    def handle(self, request: Request, now: float) -> Response:
        as_json = "application/json" in request.headers.get("accept", "")
        try:
            self._check_rate()
            caller = self._caller(request, now)
            parameters = dict(parse_qsl(request.query if request.method == "GET" else request.body.decode(), True))
            return _answer(*self._act(parameters, caller, now), as_json=as_json)
        except SignatureError as error:
            return _error(error, as_json=as_json)

    def _check_rate(self) -> None:
        if self.throttled:
            raise SignatureError("Throttling", "Rate exceeded", 400)

    def _act(self, parameters: dict[str, str], caller: User | Session, now: float) -> tuple[str, JSON]:
        action = parameters.get("Action", "")
        if parameters.get("Version") != "2011-06-15":
            raise SignatureError("InvalidAction", f"Could not find operation {action} for version", 400)
        if action == "GetCallerIdentity":
            return action, {"Arn": caller.arn, "UserId": caller.user_id, "Account": caller.arn.split(":")[4]}
        if action == "AssumeRole":
            return action, self._assume(parameters, caller, now)
        raise SignatureError("InvalidAction", f"Could not find operation {action} for version 2011-06-15", 400)

    # -- who calls -----------------------------------------------------------------------------------------------------
    def _caller(self, request: Request, now: float) -> User | Session:
        signed = sigv4.parse(request.query, request.headers)
        if signed.service != "sts" or signed.region != self.region:
            text = f"Credential should be scoped to a valid region, not `{signed.region}/{signed.service}`"
            raise SignatureError("SignatureDoesNotMatch", text)
        sigv4.check_time(signed, now)
        caller = self._principal(signed, now)
        canonical = sigv4.canonical_request(request, signed)
        wanted = sigv4.signature(caller.secret_access_key, canonical, signed)
        if not hmac.compare_digest(wanted, signed.signature):
            text = ("The request signature we calculated does not match the signature you provided. Check your AWS "
                    "Secret Access Key and signing method. Consult the service documentation for details.")  # fmt: skip
            raise SignatureError("SignatureDoesNotMatch", text)
        return caller

    def _principal(self, signed: sigv4.Signed, now: float) -> User | Session:
        session = self.sessions.get(signed.access_key_id)
        if session and hmac.compare_digest(session.token, signed.session_token):
            if session.expires <= now:
                raise SignatureError("ExpiredToken", "The security token included in the request is expired")
            return session
        user = self.users.get(signed.access_key_id)
        if user and not signed.session_token:
            return user
        raise SignatureError("InvalidClientTokenId", "The security token included in the request is invalid.")

    # -- AssumeRole ----------------------------------------------------------------------------------------------------
    def _assume(self, parameters: dict[str, str], caller: User | Session, now: float) -> JSON:
        role = self.roles.get(parameters.get("RoleArn", ""))
        name = _checked_name("roleSessionName", parameters.get("RoleSessionName", ""))
        identity = parameters.get("SourceIdentity", "")
        if identity:
            _checked_name("sourceIdentity", identity)
            if identity.lower().startswith("aws:"):
                raise SignatureError("ValidationError", "sourceIdentity may not start with `aws:`", 400)
        principal = caller.role.arn if isinstance(caller, Session) else caller.arn
        if role is None or principal not in role.trusted:
            text = (f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: "
                    f"{parameters.get('RoleArn', '')}")  # fmt: skip
            raise SignatureError("AccessDenied", text)
        if isinstance(caller, Session) and caller.source_identity and identity not in {"", caller.source_identity}:
            raise SignatureError("AccessDenied", "a source identity that was set cannot be changed")
        seconds = _checked_duration(
            parameters.get("DurationSeconds", "3600"), role, chained=isinstance(caller, Session)
        )
        session = self._session(role, name, now + seconds, identity, _checked_tags(parameters))
        return _assumed(session)

    def _session(
        self, role: Role, name: str, expires: float, identity: str, tags: tuple[tuple[str, str], ...]
    ) -> Session:
        key = "ASIA" + "".join(self._random.choices(_LETTERS, k=16))
        secret, token = (f"{self._random.getrandbits(240):060x}", f"SANDBOX{self._random.getrandbits(1200):0300x}")
        session = Session(key, secret, token, role, name, expires, identity, tags)
        self.sessions[key] = session
        return session


def _checked_name(field_name: str, value: str) -> str:
    if not _NAME.fullmatch(value):
        text = (f"1 validation error detected: Value '{value}' at '{field_name}' failed to satisfy constraint: "
                r"Member must satisfy regular expression pattern: [\w+=,.@-]*")  # fmt: skip
        raise SignatureError("ValidationError", text, 400)
    return value


def _checked_duration(text: str, role: Role, *, chained: bool) -> int:
    seconds = int(text) if text.isdigit() else 0
    if seconds < SHORTEST:
        raise SignatureError("ValidationError", f"durationSeconds must be at least {SHORTEST}", 400)
    if chained and seconds > CHAINED_LIMIT:
        text = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        raise SignatureError("ValidationError", text, 400)
    if seconds > role.max_session:
        text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        raise SignatureError("ValidationError", text, 400)
    return seconds


def _checked_tags(parameters: dict[str, str]) -> tuple[tuple[str, str], ...]:
    tags = []
    for number in range(1, len(parameters) + 1):
        if f"Tags.member.{number}.Key" not in parameters:
            break
        tags.append((parameters[f"Tags.member.{number}.Key"], parameters.get(f"Tags.member.{number}.Value", "")))
    if len(tags) > MAX_TAGS or any(len(key) > 128 or not key or len(value) > 256 for key, value in tags):
        raise SignatureError("ValidationError", "tags: too many, or a key or value that is too long", 400)
    return tuple(tags)


def _assumed(session: Session) -> JSON:
    return {
        "AssumedRoleUser": {"AssumedRoleId": session.user_id, "Arn": session.arn},
        "Credentials": {
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "SessionToken": session.token,
            "Expiration": rfc3339(session.expires),
        },
        "PackedPolicySize": 6,
        **({"SourceIdentity": session.source_identity} if session.source_identity else {}),
    }


# -- answers -----------------------------------------------------------------------------------------------------------
def _answer(action: str, result: JSON, *, as_json: bool) -> Response:
    if as_json:
        body = {f"{action}Response": {f"{action}Result": result, "ResponseMetadata": {"RequestId": "sandbox"}}}
        return Response(200, "application/json", json.dumps(body).encode())
    inner = f"<{action}Result>{_xml(result)}</{action}Result>{_METADATA}"
    return Response(200, "text/xml", f'<{action}Response xmlns="{NAMESPACE}">{inner}</{action}Response>'.encode())


def _xml(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"<{name}>{_xml(item)}</{name}>" for name, item in value.items())
    return escape(str(value))


def _error(error: SignatureError, *, as_json: bool) -> Response:
    if as_json:
        found = {"Error": {"Type": "Sender", "Code": error.code, "Message": error.message}, "RequestId": "sandbox"}
        return Response(error.http, "application/json", json.dumps(found).encode())
    inner = f"<Type>Sender</Type><Code>{error.code}</Code><Message>{escape(error.message)}</Message>"
    text = f'<ErrorResponse xmlns="{NAMESPACE}"><Error>{inner}</Error><RequestId>sandbox</RequestId></ErrorResponse>'
    return Response(error.http, "text/xml", text.encode())
