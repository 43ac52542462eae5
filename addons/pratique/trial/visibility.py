"""What a client would see of a recorded answer under one set of masks, and what under another.

Belongs here: putting probes where masks stand, masking again, comparing field by field. Pure. Not here: mask rules
(`pratique.masking`).

A recording holds masked bodies only, so the value behind a mask is gone. Where the mask stood is not, so a harmless probe is put
there and the body is masked again:

* a rule that goes by path or key name masks the probe as it masked the value: what the old set masks and the new one does not
  is **visible**, for certain;
* a pattern goes by the value, and a probe is not that value (`password=…` it still knows by what stands before it). Where the new set
  lacks such a pattern of the old one, what it had masked **may be visible**;
* what stands in clear and the new set masks is **hidden**, for certain;
* a field that the old set dropped is not in the recording: a dropping rule that the new set lacks may show it.

In an audit log values stand as they are, so there both sets are simply applied.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from pratique.errors import MaskError
from pratique.kube.attributes import RequestAttributes
from pratique.kube.objects import type_of_request
from pratique.masking.known import KnownValues
from pratique.masking.mask import MARK, NUMBER, Mask, carries
from pratique.masking.masker import Masker
from pratique.masking.plan import Plan
from pratique.masking.rules import MaskSet
from pratique.trial.recorded import Answer

_LETTERS = bytes.maketrans(b"0123456789", b"acdefgijkl")
_PROBE_NUMBER = 1_234_500
_TEXT = re.compile(re.escape(MARK.encode()) + rb"(?::[a-z0-9-]{1,32})?\*\*")
_BASE64 = re.compile(re.escape(Mask().base64[:24].encode()) + rb"[A-Za-z0-9+/]*={0,2}")
_NUMBER = re.compile(rb"(?<![0-9])" + re.escape(str(NUMBER).encode()) + rb"(?![0-9])")
MAX_FIELDS = 64
"""Fields of one answer that are told apart: a list of secrets has the same few in each item."""


class Sight(StrEnum):
    """What happens to a field."""

    VISIBLE = "newlyVisible"
    MAY_BE_VISIBLE = "maybeVisible"
    HIDDEN = "newlyMasked"


class Seen(NamedTuple):
    """One field, such as `.items[*].data.password`, or `(text)`. `rule`: where one is known."""

    sight: Sight
    field: str
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """How a set masks an answer: `hits` by rule, or why that cannot be known."""

    hits: Mapping[str, int]
    unknown: str = ""


def probed(answer: Answer) -> bytes:
    """The body with probes for masks. Of an audit log: the body."""
    if answer.raw or not (carries(answer.body) or str(NUMBER).encode() in answer.body):
        return answer.body
    count = itertools.count()
    body = _TEXT.sub(lambda _: probe(next(count)), answer.body)
    body = _BASE64.sub(lambda _: base64.b64encode(probe(next(count))), body)
    return _NUMBER.sub(lambda _: b"%d" % (_PROBE_NUMBER + next(count)), body)


def probe(number: int) -> bytes:
    """Letters only, so that no pattern takes it for a secret by itself; each another one, so that none is a copy of one."""
    return b"probe" + (b"%07d" % number).translate(_LETTERS)


def shown(masks: MaskSet, attributes: RequestAttributes, client: str, answer: Answer) -> Shown:
    """What the set masks in an answer."""
    try:
        return Shown(_masker(masks, attributes, client).mask_body(answer.content_type, probed(answer)).hits)
    except MaskError as error:
        return Shown({}, str(error))


def _masker(masks: MaskSet, attributes: RequestAttributes, client: str) -> Masker:
    return Masker(masks, attributes, client, KnownValues())


def compare(old: MaskSet, new: MaskSet, attributes: RequestAttributes, client: str, answer: Answer) -> list[Seen]:
    """What is different. MaskError: the answer cannot be masked, so nothing of it would be shown (or it was cut)."""
    body = probed(answer)
    before = _masker(old, attributes, client).mask_body(answer.content_type, body)
    after = _masker(new, attributes, client).mask_body(answer.content_type, body)
    found: dict[tuple[Sight, str], Seen] = {}
    if before.body != after.body:
        for seen in _differences(body, before.body, after.body):
            found.setdefault((seen.sight, seen.field), seen)
    if not answer.raw and not (found and Sight.VISIBLE in {sight for sight, _ in found}):
        for seen in _lost_patterns(old, new, attributes, client, answer.body):
            found.setdefault((seen.sight, seen.rule), seen)
    return list(found.values())


def _differences(body: bytes, before: bytes, after: bytes) -> Iterator[Seen]:
    seen: set[Seen] = set()
    for each in _of_documents(body, before, after):
        if each not in seen:
            seen.add(each)
            yield each
        if len(seen) >= MAX_FIELDS:
            return


def _of_documents(*bodies: bytes) -> Iterator[Seen]:
    """Of one document, of a watch line by line, or of text."""
    rows = [bodies]
    lines = [one.splitlines() for one in bodies]
    if len(lines[0]) > 1 and len({len(each) for each in lines}) == 1:
        rows = list(zip(*lines, strict=True))
    for row in rows:
        try:
            plain, masked_before, masked_after = (msgspec.json.decode(one) for one in row)
        except (msgspec.DecodeError, UnicodeDecodeError):
            marks = [len(_TEXT.findall(one)) for one in bodies[1:]]
            if marks[0] != marks[1]:
                yield Seen(Sight.VISIBLE if marks[0] > marks[1] else Sight.HIDDEN, "(text)")
            return
        yield from _walk(plain, masked_before, masked_after, "")


class _Gone:
    """Stands for a field that was dropped."""


_GONE = _Gone()


def _walk(body: Any, before: Any, after: Any, path: str) -> Iterator[Seen]:
    if before == after:
        return
    if isinstance(body, dict) and isinstance(before, dict) and isinstance(after, dict):
        for name, value in body.items():
            yield from _walk(value, before.get(name, _GONE), after.get(name, _GONE), f"{path}.{name}")
    elif isinstance(body, list) and all(isinstance(s, list) and len(s) == len(body) for s in (before, after)):
        for index, value in enumerate(body):
            yield from _walk(value, before[index], after[index], f"{path}[*]")
    elif after == body:
        yield Seen(Sight.VISIBLE, path)
    elif before == body:
        yield Seen(Sight.HIDDEN, path)
    elif _covered(before) > _covered(after):
        yield Seen(Sight.VISIBLE, path)  # a part of it
    else:
        yield Seen(Sight.HIDDEN, path)


def _covered(value: Any) -> int:
    """How much of a value is masked."""
    if value is _GONE:
        return 1 << 30
    return len(_TEXT.findall(str(value).encode("utf-8", "surrogatepass")))


def _lost_patterns(
    old: MaskSet, new: MaskSet, attributes: RequestAttributes, client: str, body: bytes
) -> Iterator[Seen]:
    """Patterns and dropping rules of the old set that the new one lacks, where the old one has masked something."""
    kind = type_of_request(attributes)
    plans = [masks.plan(kind, attributes.namespace, client) for masks in (old, new)]
    if carries(body):
        texts = [_patterns(masks, plan, client) for masks, plan in zip((old, new), plans, strict=True)]
        for name in sorted(texts[0].keys() - texts[1].keys()):
            yield Seen(Sight.MAY_BE_VISIBLE, "(what a pattern masked)", texts[0][name])
    dropping = [
        {path.text: rule.id for rule in plan.rules if rule.as_ == "drop" for path in rule.paths} for plan in plans
    ]
    for path in sorted(dropping[0].keys() - dropping[1].keys()):
        yield Seen(Sight.MAY_BE_VISIBLE, "(a field that was dropped)", dropping[0][path])


def _patterns(masks: MaskSet, plan: Plan, client: str) -> dict[tuple[str, str], str]:
    """Pattern → the rule that brings it."""
    if not masks.applies_to(client):
        return {}
    own = {(p.name, p.regex): rule.id for rule in plan.rules for p in rule.patterns}
    return {(p.name, p.regex): f"pattern {p.name}" for p in plan.text_patterns.patterns} | own
