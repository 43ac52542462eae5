"""Hooks of observing: when a request has ended, it is counted and logged. Changes nothing of a flow.

A failure here is never the request's: it is logged and forgotten.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable
from weakref import WeakSet

from mitmproxy import http
from mitmproxy.addons import termlog

from pratique.exchange import Exchange, exchange, fault, find, open_exchanges
from pratique.observing.finished import Finished
from pratique.observing.logs import JsonFormatter, log_request
from pratique.observing.metrics import Metrics
from pratique.recorder.scrub import scrub_value

type Told = Callable[[Finished], None]


def log_as_json() -> None:
    """From now on, for what mitmproxy prints of this process's log."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, termlog.TermLogHandler):
            handler.formatter = JsonFormatter()


class Observing:
    """`mask(exchange, text)`: a name as it may be shown.

    `logs_requests`: in a log of text they would hide what is said; the recordings have them.
    """

    name = "observing"

    def __init__(self, metrics: Metrics, mask: Callable[[Exchange, str], str], *, logs_requests: bool) -> None:
        self._metrics = metrics
        self._mask = mask
        self._done: WeakSet[Exchange] = WeakSet()
        self._logs_requests = logs_requests

    def open(self) -> tuple[int, int]:
        """Requests that have not ended, and how many of them are streams."""
        under_way = [state for _, state in open_exchanges() if state.client is not None and state not in self._done]
        return len(under_way), sum(state.streaming or state.tunnel is not None for state in under_way)

    def response(self, flow: http.HTTPFlow) -> None:
        state = exchange(flow)
        if flow.response is not None and flow.response.status_code == 101:
            state.at_end.append(functools.partial(self._end, flow, state))
        else:
            self._end(flow, state)

    def error(self, flow: http.HTTPFlow) -> None:
        if (state := find(flow)) is not None:
            self._end(flow, state)

    def _end(self, flow: http.HTTPFlow, state: Exchange) -> None:
        if state in self._done:
            return
        self._done.add(state)
        try:
            request = _finished(flow, state, time.time())
            self._metrics.observe(request)
            if self._logs_requests:
                log_request(self._named(request, state))
        except Exception as exc:  # noqa: BLE001 - see the module docstring
            fault(state, exc, "observing")

    def _named(self, request: Finished, state: Exchange) -> Finished:
        """With what the request was about, as it may be shown. Metrics never name it."""
        if state.canonical is None:
            return request
        found = state.canonical.attributes
        return dataclasses.replace(
            request,
            resource=scrub_value(found.resource),
            subresource=scrub_value(found.subresource),
            namespace=scrub_value(self._mask(state, found.namespace)),
            name=scrub_value(self._mask(state, found.name)),
        )


def _finished(flow: http.HTTPFlow, state: Exchange, now: float) -> Finished:
    attributes = state.canonical.attributes if state.canonical is not None else None
    verdict, refusal = state.verdict, state.refusal
    stream = state.streaming or state.tunnel is not None
    upstream = _upstream(flow, state, stream=stream)
    duration = max(now - state.started, 0.0) if state.started else 0.0
    causes = refusal.causes if refusal is not None else ()
    return Finished(
        client=state.client.name if state.client is not None else "",
        session=state.session,
        audit_id=state.audit_id,
        approval=state.approval or next((each.message for each in causes if each.reason == "ApprovalID"), ""),
        verb=attributes.verb if attributes else "",
        action=str(verdict.action) if verdict is not None else "",
        rules=verdict.rules if verdict is not None else (),
        observed=tuple((policy, action) for policy, action, *_ in (text.split(" ") for text in state.observed)),
        refusal=(refusal.rule or "other") if refusal is not None else "",
        code=flow.response.status_code if flow.response is not None else 0,
        masked=state.masked or (state.stream.hits if state.stream is not None else {}),
        duration=duration,
        held=state.held_seconds,
        upstream=upstream,
        added=None if upstream is None or stream else max(duration - upstream - (state.held_seconds or 0.0), 0.0),
        stream=stream,
    )


def _upstream(flow: http.HTTPFlow, state: Exchange, *, stream: bool) -> float | None:
    """Seconds; None where nothing was sent, or nothing came back."""
    if not state.cleared or flow.response is None or not state.sent_at:
        return None
    answered = flow.response.timestamp_start if stream else flow.response.timestamp_end
    return None if answered is None else max(answered - state.sent_at, 0.0)
