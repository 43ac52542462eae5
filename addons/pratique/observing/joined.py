"""The readiness and the metrics of several workers as one. Pure.

Belongs here: putting together. Not here: asking the workers (`workers`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pratique.observing.readiness import Outcome, Readiness

LABEL = "worker"
ALL = "workers"
"""The check that each of them answers."""
_FAMILY = "# HELP "


def joined_readiness(found: Mapping[int, Readiness | None]) -> Readiness:
    """Ready if each worker is: whoever connects may get any. None: it did not answer."""
    names = dict.fromkeys(each.name for readiness in found.values() if readiness for each in readiness.outcomes)
    silent = [worker for worker, readiness in found.items() if readiness is None]
    every = Outcome(ALL, "; ".join(f"worker {worker}: it does not answer" for worker in silent))
    return Readiness((*(_joined(name, found) for name in names), every))


def _joined(name: str, found: Mapping[int, Readiness | None]) -> Outcome:
    outcomes = [
        (worker, each) for worker, readiness in found.items() if readiness for each in readiness.outcomes if each.name == name
    ]  # fmt: skip
    problems = [f"worker {worker}: {each.problem}" for worker, each in outcomes if each.problem]
    return Outcome(name, "; ".join(problems), any(each.required for _, each in outcomes))


def joined_metrics(texts: Mapping[int, str]) -> str:
    """Prometheus' text format: each family once, with what each worker says of it under a label of its own."""
    families: dict[str, list[str]] = {}
    for worker, text in texts.items():
        for head, samples in _families(text):
            families.setdefault(head, []).extend(_labelled(sample, worker) for sample in samples)
    return "".join(f"{head}{''.join(samples)}" for head, samples in families.items())


def _families(text: str) -> Iterator[tuple[str, list[str]]]:
    """The head (HELP and TYPE) and the samples of each, lines with their ends."""
    head, samples = "", list[str]()
    for line in text.splitlines(keepends=True):
        if line.startswith(_FAMILY) and head:
            yield head, samples
            head, samples = "", []
        if line.startswith("#"):
            head += line
        else:
            samples.append(line)
    if head:
        yield head, samples


def _labelled(sample: str, worker: int) -> str:
    """A name has neither a brace nor a space."""
    name, brace, rest = sample.partition("{")
    if brace and " " not in name:
        return f'{name}{{{LABEL}="{worker}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{{LABEL}="{worker}"}} {value}'
