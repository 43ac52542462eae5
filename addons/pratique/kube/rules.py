"""The rules of refusal: every reason for which a request is answered before any policy is asked, in one table.

Belongs here: rule id, HTTP status, why, and the trick it stops. Not here: the checks (the module that reads that part
of the request). An id is stable: tests, recordings and `explain` name it. The first word is the part of the request.

A refusal is always right when the API server would read the request in another way than a person or another hop
would; honest clients (kubectl 1.20 to 1.36, client-go, the Python client, Helm) send none of these.
"""

from __future__ import annotations

from typing import NamedTuple

from pratique.errors import Cause, Refused

# metav1.StatusReason by HTTP status (apimachinery meta/v1 types.go).
REASONS = {
    400: "BadRequest",
    403: "Forbidden",
    405: "MethodNotAllowed",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    417: "BadRequest",
    505: "BadRequest",
}


class Rule(NamedTuple):
    """`code`: HTTP status of the answer; `why`: one line; `rows`: numbers of the tricks in the threat list."""

    code: int
    why: str
    rows: tuple[str, ...]


RULES: dict[str, Rule] = {
    "line/version": Rule(505, "only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken", ("2.1",)),
    "line/method": Rule(400, "only GET HEAD POST PUT PATCH DELETE, upper case; OPTIONS on a proxied path", ("1.14",)),
    "target/form": Rule(
        400, "only origin-form: a host in the target is ignored by the server, not by every hop", ("1.13",)
    ),
    "target/length": Rule(400, "longer than what the server reads as headers", ("1.18",)),
    "target/bytes": Rule(
        400, "a URL is printable ASCII; everything else is percent-encoded by clients", ("1.16", "1.19")
    ),
    "target/fragment": Rule(400, "a raw # is part of the path for the server and the end of it for others", ("1.17",)),
    "path/escape": Rule(400, "the server answers 400 to a malformed percent escape", ("1.1",)),
    "path/encoded-slash": Rule(
        400, "the server decodes %2F before it splits the path; other hops do not", ("1.1", "1.7")
    ),
    "path/encoded-percent": Rule(400, "%25 is a second layer of encoding", ("1.2",)),
    "path/encoded-character": Rule(
        400, "an escaped letter, digit or dot hides a word from other readers", ("1.1", "1.5")
    ),
    "path/empty-segment": Rule(
        400, "an empty inner segment turns a namespace into all namespaces", ("1.3", "1.4", "1.8")
    ),
    "path/dot-segment": Rule(400, "the server does not clean dot segments, other hops do", ("1.5",)),
    "path/semicolon": Rule(400, "a parameter for some servers, a character for this one", ("1.9",)),
    "path/character": Rule(
        400, "not a character of resource names, or of names that objects can have", ("1.16", "1.19")
    ),
    "path/deprecated-watch": Rule(400, "/watch/ makes every method a watch and ignores selectors", ("1.12",)),
    "path/deprecated-proxy": Rule(400, "the /proxy/ prefix was removed from Kubernetes", ("1.12",)),
    "query/semicolon": Rule(400, "the server drops the whole pair; others take ; as a separator", ("1.9",)),
    "query/escape": Rule(400, "the server drops a pair with a malformed escape", ("1.10",)),
    "query/characters": Rule(
        400, "NUL, control characters or bytes that are not UTF-8 in a parameter", ("1.10", "5.2")
    ),
    "query/terms": Rule(400, "more terms in a selector than can be read in the time of a request", ("1.18",)),
    "query/parameters": Rule(400, "more parameters than Go's net/url reads", ("1.18",)),
    "query/duplicate": Rule(400, "the server takes the first value of a scalar, others the last", ("1.10", "3.10")),
    "query/misspelt": Rule(
        400, "the server ignores a parameter in another case: a dry run would become a write", ("1.10", "3.10")
    ),
    "query/boolean": Rule(400, "everything but false and 0 is true for the server, also `no` and `off`", ("1.10",)),
    "query/option": Rule(400, "a deletion or port-forward with options that the server cannot decode", ("1.11",)),
    "query/dry-run": Rule(400, "only dryRun=All, once, is a dry run", ("3.10",)),
    "query/unknown": Rule(
        400, "on a deletecollection a parameter that is dropped could have narrowed the deletion", ("1.10",)
    ),
    "header/name": Rule(400, "not a header name; a space before the colon hides a header from some parsers", ("2.1",)),
    "header/value": Rule(400, "a control character in a header value splits requests", ("2.1", "2.12")),
    "header/count": Rule(400, "more headers than any client sends", ("2.1",)),
    "header/duplicate": Rule(400, "several values of a header that has one", ("2.1", "3.7")),
    "header/host": Rule(400, "a character that no host name has; the server refuses it too", ("2.13",)),
    "header/expect": Rule(417, "only 100-continue can be expected; the server answers the rest itself", ("2.3",)),
    "header/impersonate": Rule(403, "impersonation would act as someone else, ignoring it would too", ("2.7",)),
    "header/bearer-subprotocol": Rule(
        400, "a credential as WebSocket sub-protocol wins over an invalid bearer token", ("2.6",)
    ),
    "framing/transfer-encoding": Rule(400, "only `chunked`, once, on HTTP/1.1", ("2.1",)),
    "framing/both-lengths": Rule(400, "Transfer-Encoding and Content-Length together are read in two ways", ("2.1",)),
    "framing/trailer": Rule(400, "a trailer that would frame the message anew; the server refuses it too", ("2.2",)),
    "framing/content-length": Rule(
        400, "Content-Length is not one plain number, or not the length of the body", ("2.1",)
    ),
    "upgrade/protocol": Rule(400, "only websocket and SPDY/3.1", ("2.11",)),
    "upgrade/method": Rule(400, "a WebSocket starts with GET", ("2.11",)),
    "upgrade/subprotocol": Rule(400, "only sub-protocols that the gateway can read", ("5.6",)),
    "body/too-large": Rule(413, "more than the API server takes", ("3.16",)),
    "body/unexpected": Rule(400, "a body on a request that has none", ("2.1",)),
    "body/content-encoding": Rule(415, "the server does not decompress, another hop might", ("3.8",)),
    "body/content-type": Rule(
        415, "only JSON, YAML and protobuf bodies, and the four patch types, can be judged", ("3.4", "3.5", "3.7")
    ),
    "body/protobuf": Rule(415, "not the protobuf of a built-in kind, or readable in two ways", ("3.4",)),
    "body/json": Rule(400, "not strict JSON", ("3.15", "3.16")),
    "body/duplicate-key": Rule(400, "the server merges duplicate keys, others take the last", ("3.1",)),
    "body/depth": Rule(400, "nested deeper than any object", ("3.16",)),
    "body/yaml": Rule(
        400, "not strict YAML: one document, no aliases, anchors, tags or plain scalars with two readings", ("3.3",)
    ),
    "body/shape": Rule(400, "not the JSON type that this request takes", ("3.12",)),
    "body/kind": Rule(400, "kind or apiVersion is not what the URL says", ("3.2", "3.12")),
    "body/name": Rule(400, "name or namespace is not what the URL says", ("3.12",)),
    "body/delete-options": Rule(400, "not DeleteOptions", ("3.9",)),
}

# What a message may quote of the request: enough to find it, too little to carry a payload.
QUOTE_CHARACTERS = 120


def quoted(text: object) -> str:
    """`text` in backticks, cut to QUOTE_CHARACTERS; control characters are made harmless by `status`."""
    value = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else str(text)
    if len(value) > QUOTE_CHARACTERS:
        value = value[:QUOTE_CHARACTERS] + "…"
    return f"`{value}`"


def refused(rule: str, message: str, causes: tuple[Cause, ...] = ()) -> Refused:
    """The Refused of a rule of the table. KeyError for an id that is not in it."""
    code = RULES[rule].code
    return Refused(code, REASONS[code], message, rule=rule, causes=causes)
