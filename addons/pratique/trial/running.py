"""I/O: a trial over many files, in several processes.

Belongs here: sharing pieces out, progress, putting the tallies together in the order of the files. Not here: reading (`reading`),
judging (`judging`). A process compiles the documents once; CEL expressions do not travel.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from pratique.documents import Document, read_folder
from pratique.errors import MaskError, RecordError
from pratique.policy.patterns import Globs
from pratique.trial.expectation import ExpectationSpec
from pratique.trial.judging import As, Engine, Judgement, Outcome
from pratique.trial.reading import BadRecording, OnBad, Piece, files_of, pieces, read
from pratique.trial.recorded import RecordedRequest
from pratique.trial.tally import Tally
from pratique.trial.visibility import compare, shown

SMALL_BYTES = 8 * 1024 * 1024
"""Less than this is done sooner here than a process has started."""
BATCH_BYTES = 4 * 1024 * 1024
BATCH_PIECES = 256
"""What is handed to a process at a time, whichever is reached first."""

type Batch = tuple[Piece, ...]
type Progress = Callable[[int], None]
"""Is told of bytes that were read."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is tried. `jobs` processes; `keep` examples of each row; `masks`: also what is masked in the answers; `coverage`: which rules match."""

    folder: Path
    against: Path | None = None
    asks: As = field(default_factory=As)
    users: tuple[str, ...] = ()
    expectation: ExpectationSpec = field(default_factory=ExpectationSpec)
    keep: int = 3
    masks: bool = True
    coverage: bool = False
    keep_going: bool = False
    jobs: int = 1


class Trial:
    """Of one process. Raises DocumentErrors."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._users = Globs(plan.users)
        documents = read_folder(plan.folder)
        self.engine = Engine.of(documents, plan.asks)
        self.old: Engine | None = None
        self._other_masks = False
        if plan.against is not None:
            before = read_folder(plan.against)
            self.old = Engine.of(before, plan.asks)
            self._other_masks = _mask_texts(before) != _mask_texts(documents)

    def run(self, batch: Batch) -> Tally:
        """Some pieces, one after the other. BadRecording, unless the plan keeps going."""
        tally = Tally(self._plan.keep)
        for piece in batch:
            for recorded in read(piece, told_to(tally, keep_going=self._plan.keep_going)):
                if not self._plan.users or self._users.match(recorded.client):
                    self.take(recorded, tally)
        return tally

    def take(self, recorded: RecordedRequest, tally: Tally) -> Judgement:
        """One request."""
        found = self.engine.judge(recorded)
        tally.judged(recorded, found)
        for index, request in enumerate(self._plan.expectation.requests):
            if request.means(found):
                tally.expected(index, recorded, found, met=request.met_by(found))
        if self._plan.coverage and found.request is not None:
            tally.coverage.take(self.engine.policies, found.request)
        if self.old is not None:
            tally.compared(recorded, self.old.judge(recorded), found)
        if self._plan.masks:
            self._look(recorded, found, tally)
        return found

    def _look(self, recorded: RecordedRequest, found: Judgement, tally: Tally) -> None:
        answer, canonical = recorded.answer, found.canonical
        if answer is None or canonical is None or not answer.body or found.outcome is Outcome.DENY:
            return
        attributes = canonical.attributes
        if self.old is None:
            tally.shown(recorded, found, shown(self.engine.masks, attributes, found.client, answer))
        elif self._other_masks:
            try:
                sights = compare(self.old.masks, self.engine.masks, attributes, found.client, answer)
            except MaskError as error:
                tally.not_seen(recorded, found, str(error))
            else:
                tally.seen(recorded, found, sights)


def told_to(tally: Tally, *, keep_going: bool) -> OnBad:
    """Counts what cannot be read, or ends the trial."""

    def on_bad(bad: BadRecording) -> None:
        if not keep_going:
            raise bad
        tally.unreadable(str(bad))

    return on_bad


def _mask_texts(documents: Iterable[Document]) -> list[object]:
    return [document.data for document in documents if document.kind == "MaskPolicy"]


def run(plan: Plan, recordings: Sequence[Path], progress: Callable[[int], Progress]) -> Tally:
    """The whole trial. `progress(bytes)` begins to show it.

    DocumentErrors; RecordError for a bad recording, unless the plan keeps going.
    """
    total = Tally(plan.keep)
    trial = Trial(plan)
    on_bad = told_to(total, keep_going=plan.keep_going)
    work = batches(piece for file in files_of(recordings) for piece in pieces(file, on_bad))
    size = sum(map(size_of, work))
    told = progress(size)
    several = plan.jobs > 1 and len(work) > 1 and size > SMALL_BYTES
    done = _in_processes(plan, work) if several else ((batch, trial.run(batch)) for batch in work)
    for batch, tally in done:
        total.merge(tally)
        told(size_of(batch))
    return total


def size_of(batch: Batch) -> int:
    """Bytes."""
    return sum(piece.end - piece.start for piece in batch)


def batches(found: Iterable[Piece]) -> list[Batch]:
    """Small pieces together: sessions are many and short."""
    work: list[Batch] = []
    batch: list[Piece] = []
    for piece in found:
        batch.append(piece)
        if size_of(tuple(batch)) >= BATCH_BYTES or len(batch) >= BATCH_PIECES:
            work.append(tuple(batch))
            batch = []
    return [*work, tuple(batch)] if batch else work


_WORKER: list[Trial] = []
"""Of a worker process: made once, by `_begin`."""


def _begin(plan: Plan) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _WORKER[:] = [Trial(plan)]


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(batch: Batch) -> Tally:
    return _WORKER[0].run(batch)


def _in_processes(plan: Plan, work: Sequence[Batch]) -> Iterator[tuple[Batch, Tally]]:
    """In order; a few batches are under way at a time, so that memory does not grow with their number."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(plan.jobs, context, _begin, (plan,)) as pool:
        rest = iter(work)
        running: list[tuple[Batch, Future[Tally]]] = []
        try:
            running += [(batch, pool.submit(_work, batch)) for batch in itertools.islice(rest, plan.jobs * 2)]
            while running:
                batch, future = running.pop(0)
                yield batch, future.result()
                running += [(following, pool.submit(_work, following)) for following in itertools.islice(rest, 1)]
        except BrokenProcessPool:
            raise RecordError("a process of the trial was killed. Is there memory for --jobs of them?") from None
        finally:
            for _, future in running:
                future.cancel()
