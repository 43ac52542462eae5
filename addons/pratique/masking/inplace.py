"""Objects of a list or watch, masked in their bytes, many at once.

Belongs here: whether an object can be masked so, and what is put in place of its values. Not here: what is done at one
find (`edits.py`), objects that have to be decoded (`fast.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from pratique.kube.pieces import Piece
from pratique.kube.sink import Change
from pratique.masking.document import echoes, is_base64, sign
from pratique.masking.edits import Edit, find_edits
from pratique.masking.fast import RawMasker
from pratique.masking.known import MIN_LENGTH
from pratique.masking.plan import Plan
from pratique.masking.replace import Replacer


class InPlace:
    """For the objects of one response, by the rules of its plan."""

    def __init__(self, plan: Plan, replacer: Replacer, raw: RawMasker) -> None:
        self._plan = plan
        self._replacer = replacer
        self._raw = raw

    def changes(self, body: bytes, pieces: Sequence[Piece]) -> list[list[Change] | None]:
        """Of each object; None if it must be decoded, and then nothing of it was counted or remembered."""
        self._replacer.seen = []
        if not self._plan.edits:
            return [None] * len(pieces)
        found = self._edits(body, pieces)
        mask = self._one_mask(list(chain.from_iterable(filter(None, found))))
        if mask is None:
            return [edits if edits is None else self._raw.edited(edits, self._plan) for edits in found]
        return [edits if edits is None else [(edit[0], edit[1], mask) for edit in edits] for edits in found]

    def _edits(self, body: bytes, pieces: Sequence[Piece]) -> list[list[Edit] | None]:
        names, ordinary, found = self._plan.names, self._plan.ordinary, []
        for piece in pieces:
            spans, behind, edits = piece.found, piece.behind, None
            # What comes behind the metadata is searched alike, at any depth.
            if spans and behind is not None and spans[0][0] >= behind:
                edits = find_edits(body, spans, names, ordinary)
                for _, _, value, _ in edits or ():
                    if len(value) >= MIN_LENGTH and _again(body, piece.start, piece.end, value):
                        edits = None
                        break
            found.append(edits)
        return found

    def _one_mask(self, edits: Sequence[Edit]) -> bytes | None:
        """What all of them become, which counts and remembers their values; None if one of them may be something else."""
        if len({edit[3] for edit in edits}) != 1:
            return None
        rule = self._plan.keyed[edits[0][3]]
        texts = [edit[2].decode("utf-8", "replace") for edit in edits]
        encoded, keep = rule.as_ == "base64", rule.keep_certificates
        if self._replacer.shortest([texts], encoded=encoded, keep_certificates=keep) is None:
            return None
        return f'"{self._replacer.mask_all(texts, rule.id, encoded=encoded)}"'.encode()


def _again(body: bytes, start: int, end: int, value: bytes) -> bool:
    """Whether the object `body[start:end]` may hold the value of an edit a second time, written in whatever way."""
    if body.count(sign(value), start, end) > 1:
        return True
    return is_base64(value) and any(
        body.find(sign(form), start, end) >= 0 for form in echoes(value.decode("utf-8", "replace"))[1:]
    )
