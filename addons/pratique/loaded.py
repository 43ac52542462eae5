"""I/O: everything that one policy folder says, read and checked as a whole, and swapped as a whole.

Belongs here: `Loaded` and its reload. A set with any error is never used: at start it is fatal (the caller stops), later the
old set stays and the error is logged loudly.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pratique.approvals.notifying import check_files
from pratique.approvals.reviewers import Reviewers
from pratique.approvals.webhooks import Webhook, webhooks_from
from pratique.documents import Document, fingerprint, read_folder
from pratique.errors import DocumentError, DocumentErrors
from pratique.identity.clients import Clients
from pratique.identity.clusters import ClusterSpec, cluster_from
from pratique.masking.rules import MaskSet, compile_masks
from pratique.policy.decision import PolicySet, compile_policies
from pratique.recorder.rules import RecordingRules

logger = logging.getLogger("pratique")


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


# In the order of the fields of `Loaded`.
_READERS: tuple[Callable[[list[Document]], object], ...] = (
    cluster_from,
    Clients.from_documents,
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
    for read in _READERS:
        try:
            parts.append(read(documents))
        except DocumentErrors as found:
            errors += found.errors
    if errors:
        raise DocumentErrors(errors)
    return Loaded(*parts)  # type: ignore[arg-type]  # in the order of the fields


class Live:
    """The set that is in force."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen = fingerprint(folder)
        self.current = load(folder)

    def reload(self) -> bool:
        """Look at the folder; True if a new set is in force. Never raises: an unreadable set changes nothing."""
        try:
            seen = fingerprint(self.folder)
            if seen == self._seen:
                return False
            new = load(self.folder)
        except (DocumentErrors, OSError) as error:
            if str(error) != getattr(self, "_said", ""):
                self._said = str(error)
                logger.error("the edited documents are NOT in force, the old ones stay:\n%s", error)
            return False
        if new.cluster != self.current.cluster:
            logger.error(
                "a changed `kind: Cluster` needs a restart; the old one stays, the other documents are in force"
            )
        self._seen, self._said = seen, ""
        self.current = replace(new, cluster=self.current.cluster)
        logger.warning("documents reloaded from %s", self.folder)
        return True
