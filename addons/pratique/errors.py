"""The exceptions of pratique, all of them.

::

    PratiqueError
    ├── Refused                 answered to the client as a Kubernetes Status (carries code and reason)
    ├── DocumentError           a policy folder that cannot be used (carries file, line, column, remedy)
    │   └── DocumentErrors      all of the errors of one folder
    ├── StartError              the gateway must not start; one readable line
    ├── CredentialError         no credential for the cluster can be had now (answered 503)
    ├── OwnCallError            the gateway's own call to the API server got no answer (answered 503)
    ├── MaskError               a body cannot be masked, so it cannot be shown (answered 502)
    ├── RecordError             a flow cannot be recorded, so it cannot be served (answered 503)
    ├── StoreError              the approval store refuses or fails (answered 503)
    └── FramingError            malformed bytes on a stream (never "need more": that is a result, not an error)

Each class says with which HTTP status a client is answered when it escapes a hook: `code`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class PratiqueError(Exception):
    """Base of every exception that pratique raises on purpose."""

    code = 500
    reason = "InternalError"


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of `Status.details.causes` (apimachinery meta/v1 `StatusCause`)."""

    reason: str
    message: str
    field: str = ""


class Refused(PratiqueError):
    """A request that is answered by the gateway and never forwarded.

    `code` is an HTTP status of 400 or above, `reason` a `metav1.StatusReason`, `message` is written for a person and for
    a language model. `rule` names the documented rule of refusal (for tests, `explain` and recordings).
    """

    def __init__(  # noqa: PLR0917 - the order of a Status
        self,
        code: int,
        reason: str,
        message: str,
        rule: str = "",
        causes: tuple[Cause, ...] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.rule = rule
        self.causes = causes
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Position:
    """Where in a document: path as the operator gave it, line and column from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class DocumentError(PratiqueError):
    """`file:line:column: message. Remedy`."""

    def __init__(self, position: Position, message: str, remedy: str = "") -> None:
        super().__init__(f"{position}: {message}" + (f". {remedy}" if remedy else ""))
        self.position = position
        self.message = message
        self.remedy = remedy


class DocumentErrors(PratiqueError):
    """Every error of a folder, so that one run shows them all. `str()` is one line per error."""

    def __init__(self, errors: list[DocumentError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors


class StartError(PratiqueError):
    """The gateway must not start (or not go on). The message is one line for the operator."""


class CredentialError(PratiqueError):
    """No credential for the cluster can be had; the message never holds one. `remedy` is for the operator."""

    code = 503
    reason = "ServiceUnavailable"

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message + (f". {remedy}" if remedy else ""))
        self.remedy = remedy


class OwnCallError(PratiqueError):
    """What the gateway had to know of the cluster before it could decide was not to be had. Never holds a value."""

    code = 503
    reason = "ServiceUnavailable"


class MaskError(PratiqueError):
    """A response that a mask applies to cannot be parsed or masked: nothing of it may be shown."""

    code = 502
    reason = "InternalError"


class RecordError(PratiqueError):
    """What cannot be recorded is not served (invariant 6)."""

    code = 503
    reason = "ServiceUnavailable"


class StoreError(PratiqueError):
    """The store of approvals cannot be read or written: refused when in doubt."""

    code = 503
    reason = "ServiceUnavailable"


@dataclass
class FramingError(PratiqueError):
    """Malformed bytes on a stream: `message` names the rule, `offset` counts bytes from the start of the stream."""

    message: str
    offset: int = 0
    code: int = field(default=502, init=False)

    def __str__(self) -> str:
        return f"{self.message} at byte {self.offset}"
