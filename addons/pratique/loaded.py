"""I/O: everything that one policy folder says, read and checked as a whole, and swapped as a whole.

Belongs here: `Loaded` and its reload. A set with any error is never used: at start it is fatal (the caller stops), later the
old set stays and the error is logged loudly, again and again until it is mended.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pratique.approvals.notifying import check_files
from pratique.approvals.reviewers import Reviewers
from pratique.approvals.webhooks import Webhook, webhooks_from
from pratique.documents import Document, fingerprint, read_folder
from pratique.documents.folder import Fingerprint
from pratique.errors import DocumentError, DocumentErrors
from pratique.identity.clients import Clients
from pratique.identity.clusters import ClusterSpec, cluster_from
from pratique.identity.roles import role_errors
from pratique.masking.rules import MaskSet, compile_masks
from pratique.policy.decision import PolicySet, compile_policies
from pratique.recorder.rules import RecordingRules

logger = logging.getLogger("pratique")

AGAIN_SECONDS = 60.0  # how often a set that cannot be used is tried, and shouted about, again


@dataclass(frozen=True, slots=True)
class Loaded:
    """One consistent set."""

    cluster: ClusterSpec
    clients: Clients
    policies: PolicySet
    masks: MaskSet
    recording: RecordingRules
    reviewers: Reviewers
    webhooks: tuple[Webhook, ...]


def _webhooks(documents: Sequence[Document]) -> tuple[Webhook, ...]:
    """Read and looked at: a message that could never be sent is found out at start, not at the first approval."""
    webhooks = webhooks_from(documents)
    check_files(webhooks)
    return webhooks


def _clients(documents: Sequence[Document]) -> Clients:
    clients = Clients.from_documents(documents)
    if errors := role_errors(documents):
        raise DocumentErrors(errors)
    return clients


# What a folder must satisfy, in the order of the fields of Loaded; `pratique check` asks the same.
READERS: tuple[Callable[[list[Document]], object], ...] = (
    cluster_from,
    _clients,
    compile_policies,
    compile_masks,
    RecordingRules.from_documents,
    Reviewers.from_documents,
    _webhooks,
)


def load(folder: Path) -> Loaded:
    """Read a folder. DocumentErrors with every error of every room."""
    documents = read_folder(folder)
    errors: list[DocumentError] = []
    parts: list[object] = []
    for read in READERS:
        try:
            parts.append(read(documents))
        except DocumentErrors as found:
            errors += found.errors
    if errors:
        raise DocumentErrors(errors)
    return Loaded(*parts)  # type: ignore[arg-type]  # in the order of the fields


class Live:
    """The set that is in force. `reload` belongs to one thread at a time; `current` may be read from any."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises DocumentErrors: there is no set to begin with."""
        self.folder = folder
        self._clock = clock
        self._seen = fingerprint(folder)
        self.current = load(folder)
        self._refused: _Refusal | None = None

    @property
    def problem(self) -> str:
        """Why the documents as they are in the folder are not in force; "" if they are."""
        return self._refused.problem if self._refused is not None else ""

    def reload(self) -> bool:
        """Look at the folder; True if a new set is in force. Never raises: an unusable set changes nothing."""
        seen: Fingerprint | None = None
        try:
            seen = fingerprint(self.folder)
            if seen == self._seen:
                self._refused = None  # the edit was taken back
                return False
            if self._is_refused(seen):
                return False
            new = load(self.folder)
            if fingerprint(self.folder) != seen:  # somebody is still writing: a half of a policy may be a valid one
                return False
        except (DocumentErrors, OSError) as error:
            return self._refuse(seen, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the old set stays and the next look must come
            return self._refuse(seen, f"{type(error).__name__} while they were read")
        if new.cluster != self.current.cluster:
            logger.error(
                "a changed `kind: Cluster` needs a restart; the old one stays, the other documents are in force"
            )
        self._seen, self._refused = seen, None
        # INVARIANT: one assignment, so that no request is judged by parts of two sets.
        self.current = replace(new, cluster=self.current.cluster)
        logger.warning("documents reloaded from %s", self.folder)
        return True

    def _is_refused(self, seen: Fingerprint) -> bool:
        """Whether this very set was refused a moment ago. It is tried again now and then: a mode may have changed."""
        refused = self._refused
        return refused is not None and refused.seen == seen and self._clock() - refused.at < AGAIN_SECONDS

    def _refuse(self, seen: Fingerprint | None, problem: str) -> bool:
        refused = self._refused
        if refused is None or refused.problem != problem or self._clock() - refused.at >= AGAIN_SECONDS:
            logger.error("the edited documents are NOT in force, the old ones stay:\n%s", problem)
            self._refused = _Refusal(seen, problem, self._clock())
        return False


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A set that was not taken; `seen` is None where the folder could not even be looked at."""

    seen: Fingerprint | None
    problem: str
    at: float
