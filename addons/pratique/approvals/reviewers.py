"""`kind: Reviewer`: who may decide approvals, how they prove who they are, and which approvals are theirs.

Belongs here: the document, its checks, authentication by key, `may_decide`. Not here: one approval's terms (`deciding`),
how a key comes in (`admin`). Pure; time is an argument. Relies on `pratique.apikeys`.

A reviewer's key is `pratique-reviewer_<name>_<43 characters>`: a client's key has another beginning, so that the one
cannot be taken for the other. Several documents may be one `person`: a quorum counts people.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import msgspec

from pratique.apikeys import NO_KEY, ApiKey, NewApiKey, is_expired, is_one_of, key_errors, key_pattern, new_key
from pratique.approvals.grants import GrantKind, Scope, Target, Wish, literal
from pratique.documents import Document
from pratique.errors import DocumentError, DocumentErrors, Refused

PREFIX = "pratique-reviewer"
MAX_KEY_CHARACTERS = 256  # the longest key has 125; longer ones are refused before they are hashed

_KEY = key_pattern(PREFIX)


class MayDecide(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Which approvals: globs; a list left out means any. `resources` as in rules: `pods`, `pods/exec`, `*/scale`."""

    clients: tuple[str, ...] | None = None
    verbs: tuple[str, ...] | None = None
    api_groups: tuple[str, ...] | None = None
    resources: tuple[str, ...] | None = None
    namespaces: tuple[str, ...] | None = None

    def matches(self, client: str, target: Target) -> bool:
        pairs = (
            (self.clients, client),
            (self.verbs, target.verb),
            (self.api_groups, target.api_group),
            (self.resources, target.resource),
            (self.namespaces, target.namespace),
        )
        return all(globs is None or any(fnmatchcase(value, glob) for glob in globs) for globs, value in pairs)

    def holds(self, client: str, target: Target, scope: Scope) -> bool:
        """Whether everything that the scope covers is among them."""
        pairs = ((self.verbs, scope.verb, target.verb), (self.namespaces, scope.namespace, target.namespace))
        return self.matches(client, target) and all(
            globs is None or any(_covers(glob, pattern, value) for glob in globs) for globs, pattern, value in pairs
        )


def _covers(glob: str, pattern: str, value: str) -> bool:
    """Whether all that `pattern` matches, `glob` does; in doubt no. `pattern` may be `value` itself."""
    if pattern == literal(value):
        return fnmatchcase(value, glob)
    beginning = glob.removesuffix("*")
    is_beginning = glob.endswith("*") and not set(beginning) & set("*?[")
    return glob == pattern or (is_beginning and pattern.startswith(beginning))


class _Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    api_keys: tuple[ApiKey, ...]
    may_decide: tuple[MayDecide, ...]
    may_grant: GrantKind = GrantKind.DURATION
    person: str = ""
    clients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Somebody who decides. `person` is who counts for a quorum, `clients` those that are their own (globs).

    `trust` says how we know: it is shown and recorded with each decision.
    """

    name: str
    person: str
    may: tuple[MayDecide, ...]
    may_grant: GrantKind = GrantKind.DURATION
    clients: tuple[str, ...] = ()
    trust: str = "by key"

    def check(self, client: str, target: Target, wish: Wish) -> None:
        """Raises Refused (403): not theirs to decide, or to grant so widely."""
        if any(fnmatchcase(client, own) for own in self.clients):
            raise Refused(
                403, "Forbidden", f"`{client}` is your own client, somebody else decides for it", rule="reviewer"
            )
        if not self.may_see(client, target):
            message = f"reviewer `{self.name}` may not decide this one (`mayDecide` of their document)"
            raise Refused(403, "Forbidden", message, rule="reviewer")
        if wish.kind.width > self.may_grant.width:
            message = f"reviewer `{self.name}` may grant `{self.may_grant}` at most, not `{wish.kind}`"
            raise Refused(403, "Forbidden", message, rule="grant")
        if wish.scope is not None and not any(each.holds(client, target, wish.scope) for each in self.may):
            message = f"reviewer `{self.name}` may not decide all of `{wish.scope.in_words()}`"
            raise Refused(403, "Forbidden", message, rule="grant")

    def may_see(self, client: str, target: Target) -> bool:
        """Whether an approval is in their field at all: others are not shown to them."""
        return any(each.matches(client, target) for each in self.may)

    def may_revoke(self, client: str) -> bool:
        """Whether a client is in their field; "" (sessions, everything) only if every client is."""
        return any(each.clients is None or (client and _any(each.clients, client)) for each in self.may)

    def may_lift(self, client: str) -> bool:
        """As `may_revoke`, and nobody lifts what stops their own client; who has one, not what stops everybody."""
        own = _any(self.clients, client) if client else bool(self.clients)
        return self.may_revoke(client) and not own


def _any(globs: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def local_reviewer(login: str) -> Reviewer:
    """Whoever may write the state folder could write decisions into it: the operating system is what vouches for them."""
    return Reviewer(login, login, (MayDecide(),), trust="login on the gateway's machine")


class Reviewers:
    """The reviewers of a policy folder. An empty set authenticates nobody."""

    def __init__(self, reviewers: Iterable[tuple[Reviewer, Sequence[ApiKey]]] = ()) -> None:
        self._reviewers = {reviewer.name: (reviewer, tuple(keys)) for reviewer, keys in reviewers}

    @classmethod
    def from_documents(cls, documents: Sequence[Document]) -> Reviewers:
        """Every `kind: Reviewer`. Raises DocumentErrors: bad fields, a shared key, a client of that name; all at once."""
        errors: list[DocumentError] = []
        reviewers: list[tuple[Reviewer, Sequence[ApiKey]]] = []
        owners: dict[str, str] = {}
        clients = {document.name for document in documents if document.kind == "Client"}
        for document in documents:
            if document.kind != "Reviewer":
                continue
            try:
                spec = document.convert(("spec",), _Spec)
            except DocumentErrors as error:
                errors += error.errors
                continue
            errors += _errors_of(document, spec, owners, clients)
            person = spec.person or document.name
            reviewer = Reviewer(document.name, person, spec.may_decide, spec.may_grant, spec.clients)
            reviewers.append((reviewer, spec.api_keys))
        if errors:
            raise DocumentErrors(errors)
        return cls(reviewers)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._reviewers))

    def get(self, name: str) -> Reviewer | None:
        """By name, as the documents are now: somebody who was removed is nobody."""
        found = self._reviewers.get(name)
        return found[0] if found else None

    def is_current(self, name: str, sha256: str, now: float) -> bool:
        """Whether a key that authenticated somebody still does: it may have been removed, or have expired."""
        keys = self._reviewers.get(name, _NOBODY)[1]
        return any(hmac.compare_digest(key.sha256, sha256) and not is_expired(key, now) for key in keys)

    def authenticate(self, key: str, now: float) -> Reviewer:
        """Whose key this is. Every kind of failure is the same answer. Raises Refused (401)."""
        match = _KEY.fullmatch(key) if len(key) <= MAX_KEY_CHARACTERS else None
        reviewer, keys = self._reviewers.get(match["name"], _NOBODY) if match else _NOBODY
        if not is_one_of(key[:MAX_KEY_CHARACTERS], keys, now) or reviewer is None:
            raise Refused(401, "Unauthorized", "this is no valid reviewer's key", rule="reviewer-key")
        return reviewer


_NOBODY: tuple[Reviewer | None, tuple[ApiKey, ...]] = (None, (ApiKey(NO_KEY),))


def _errors_of(document: Document, spec: _Spec, owners: dict[str, str], clients: set[str]) -> list[DocumentError]:
    errors = key_errors(document, spec.api_keys, owners, "pratique reviewers add NAME")
    if document.name in clients:
        message = f"client `{document.name}` has the same name, and nobody decides their own requests"
        errors.append(document.error(("metadata", "name"), message, "Name the reviewer otherwise"))
    if not spec.may_decide:
        message = "`mayDecide` is empty, so that this reviewer could decide nothing"
        errors.append(document.error(("spec", "mayDecide"), message, "Write `mayDecide: [{}]` for everything"))
    for index, may in enumerate(spec.may_decide):
        for name in may.__struct_fields__:
            if getattr(may, name) == ():
                field = may.__struct_encode_fields__[may.__struct_fields__.index(name)]
                message = f"`{field}` is empty and would match nothing"
                errors.append(
                    document.error(("spec", "mayDecide", index, field), message, "Fill it, or leave it out for any")
                )
    return errors


def new_reviewer_key(name: str, random_bytes: bytes) -> NewApiKey:
    """A key for the reviewer `name`; see `apikeys.new_key`. Raises ValueError."""
    return new_key(PREFIX, name, random_bytes)


def reviewer_document(
    name: str,
    sha256: str,
    *,
    clients: Sequence[str] = (),
    namespaces: Sequence[str] = (),
    expires: datetime | None = None,
) -> str:
    """The text of a Reviewer document. Everything is quoted: YAML reads `12345e67` as a number."""
    may = {key: list(globs) for key, globs in (("clients", clients), ("namespaces", namespaces)) if globs}
    lines = [
        "apiVersion: pratique/v1",
        "kind: Reviewer",
        "metadata:",
        f"  name: {_json(name)}",
        "spec:",
        "  # Globs over clients, verbs, apiGroups, resources, namespaces; what is left out means any.",
        f"  mayDecide: [{_json(may)}]",
        "  apiKeys:",
        f"  - sha256: {_json(sha256)}",
    ]
    if expires is not None:
        lines.append(f"    expires: {_json(expires.astimezone(UTC).isoformat(timespec='seconds'))}")
    return "\n".join(lines) + "\n"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()  # JSON is YAML 1.2
