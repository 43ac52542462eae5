"""The fault list: what is injected into a running gateway, what is promised, and the check.

A check is a function of this package, or the names of tests elsewhere that show it already (`file::test`). After each of
its own checks the table also asks what holds for all of them (`World.check`): nothing leaked, nothing unrecorded, it serves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults import of_clients, of_the_cluster, of_the_process
from tests.faults.world import World

Check = Callable[[World], None] | tuple[str, ...]
UPSTREAM, FAULTS = "tests/process/test_upstream.py", "tests/process/test_faults.py"
BAD_ANSWER = f"{UPSTREAM}::test_an_answer_that_is_not_usable_is_a_502_and_not_shown"
STATUS = "a Status, nothing of it shown, the next request is served"


@dataclass(frozen=True)
class Row:
    name: str
    injected: str
    promised: str
    check: Check


ROWS = (
    # --- the network, and the cluster behind it ---
    Row("dns-fails", "the cluster's name does not resolve", "502, nothing sent, served once it does", of_the_cluster.name_not_found),
    Row("dns-hangs", "the resolver does not answer", "504 within the limit for connecting", of_the_cluster.resolver_hangs),
    Row("down", "the cluster's port is closed", "502 until it is up again", (f"{UPSTREAM}::test_a_cluster_that_is_down_is_a_502_until_it_is_up_again",)),
    Row("reset-in-body", "TCP reset in the middle of a body", STATUS, of_the_cluster.reset_in_a_body),
    Row("reset-in-watch", "TCP reset in the middle of an event", "whole events only, and the stream does not look finished", of_the_cluster.reset_in_a_watch),
    Row("half-open", "a connection in use falls silent", "504 at the limit, not sent again, the connection is given up", of_the_cluster.half_open),
    Row("silent", "the cluster never answers", "504 at the limit", (f"{UPSTREAM}::test_a_cluster_that_never_answers_is_a_504", f"{UPSTREAM}::test_a_cluster_that_accepts_and_speaks_no_tls_is_a_504")),
    Row("slow-cluster", "the cluster sends its head, or its body, byte by byte", "504 at the limit", of_the_cluster.slow),
    Row("endless-body", "a body stops and never ends", "504 at the limit", (f"{UPSTREAM}::test_a_body_that_never_ends_is_a_504",)),
    Row("truncated-chunk", "the cluster closes in a chunk", STATUS, (BAD_ANSWER,)),
    Row("less-than-announced", "fewer bytes than Content-Length", STATUS, (BAD_ANSWER,)),
    Row("more-than-announced", "more bytes than Content-Length", "the rest is nobody's answer", of_the_cluster.more_than_announced),
    Row("more-on-a-kept-connection", "the same, and the connection stays", "the rest is nobody's answer", (f"{UPSTREAM}::test_a_length_that_is_too_small_cuts_the_body_and_the_rest_is_no_answer",)),
    Row("large-headers-of-the-cluster", "1 MiB of headers in an answer", "they are not passed on, the body is", of_the_cluster.large_headers),
    Row("goaway", "the cluster says GOAWAY", "what was begun is answered, what was not is a Status", ("tests/process/test_going_away.py::test_what_was_begun_is_answered_and_what_comes_then_takes_another_connection", "tests/process/test_going_away.py::test_what_was_not_begun_is_a_status")),
    # --- STS ---
    Row("sts-garbage", "STS answers pages, halves, nothing, bytes, redirects", "503, nothing sent, served once STS is right", of_the_cluster.sts_garbage),
    Row("sts-down", "STS is down or throttles", "503 when a session is needed, served while the token is good", (f"{FAULTS}::test_sts_down_when_a_new_session_is_needed_is_a_503", f"{FAULTS}::test_sts_down_later_does_not_matter_while_the_token_is_good", f"{FAULTS}::test_sts_down_or_throttled_at_the_start_is_a_503")),
    Row("token-refused", "the cluster refuses the token", "503 and no 401, then a new session", (f"{FAULTS}::test_a_session_that_was_revoked_is_assumed_anew", f"{FAULTS}::test_a_token_that_expired_is_a_503_and_not_a_401")),
    # --- clients ---
    Row("slowloris", "a TLS handshake, or a head, byte by byte", "closed at the limit, nothing dialled", of_clients.slow),
    Row("slowloris-body", "a body that takes its time", "nothing is sent before it is whole", ("tests/process/test_bypass_framing.py::test_bypass_2_03_nothing_is_sent_before_the_whole_body_is_in",)),
    Row("idle-connection", "a connection without a valid request", "closed at the limit", (f"{UPSTREAM}::test_a_connection_without_a_valid_request_is_closed",)),
    Row("half-closed-client", "the client ends its side in its body", "nothing is sent", of_clients.half_closed),
    Row("renegotiation", "a second TLS handshake on a connection", "refused, nothing sent", of_clients.renegotiation),
    Row("large-headers", "1 MiB of headers", "431 or closed, nothing dialled", of_clients.large_headers),
    Row("large-headers-http2", "the same over HTTP/2", "431, reset or closed, nothing dialled", of_clients.large_headers_http2),
    Row("truncated-chunk-of-a-client", "the client leaves in a chunk", "no request", ("tests/process/test_bypass_framing.py::test_bypass_2_02_a_chunk_that_never_ends_is_no_request",)),
    Row("unread-answers", "a client that does not read", "memory is bounded, its watch ends", ("tests/process/test_f_rows.py::test_f32_what_an_http2_client_does_not_read_is_bounded", "tests/process/test_f_rows.py::test_f32_a_watch_that_is_not_read_ends")),
    Row("client-leaves-while-held", "reset, close or GOAWAY while a reviewer thinks", "nothing is sent, also when approved", ("tests/process/test_f_rows.py::test_f13_f34_an_http2_client_that_leaves_while_held_sends_nothing",)),
    # --- the process and its machine ---
    Row("clock-jump", "100 days ahead, 10 days back", "no approval outlives its time, requests are served", of_the_process.clock_jumps),
    Row("enospc", "the disk is full, before and while an answer is recorded", "503, nothing sent or nothing shown", (f"{FAULTS}::test_a_full_disk_refuses_before_anything_is_forwarded", f"{FAULTS}::test_a_disk_that_fills_up_while_an_answer_is_recorded_shows_nothing")),
    Row("log-full", "the disk that the log is written to is full", "lines are lost, everything is served", (f"{FAULTS}::test_a_log_whose_disk_is_full_does_not_end_the_gateway",)),
    Row("emfile", "no file descriptor is left", "an error or an end, nothing sent; then served", of_the_process.no_descriptors),
    Row("sigstop", "stopped for longer than a deadline, and continued", "each is answered once, or with 504", of_the_process.stopped),
    Row("sigkill", "killed at work", "what a client has seen is in the files", ("tests/process/test_kills.py::test_after_kill_nine_every_finished_request_is_in_the_files", "tests/process/test_shutdown.py::test_sigkill_loses_no_finished_flow_and_the_next_start_mends")),
    Row("sigterm", "stopped while streams are open", "they end properly, nothing held is executed", ("tests/process/test_shutdown.py::test_f23_sigterm_ends_streams_properly_and_executes_nothing_held",)),
    Row("store-locked", "another program locks the approvals", "503 within 5 s for what asks; reads go on", of_the_process.store_locked),
    Row("store-broken", "the approvals are overwritten or dropped", "503 for what asks; reads go on", (f"{FAULTS}::test_a_broken_approval_store_refuses_what_needs_an_approval", "tests/process/test_approvals.py::test_a_store_that_is_gone_refuses_when_in_doubt")),
    Row("reload-storm", "20 edits, a third of them broken", "each request is judged by one whole set", of_the_process.reload_storm),
    Row("documents-vanish", "the folder of documents is gone", "the old set stays", (f"{FAULTS}::test_documents_that_vanish_or_break_leave_the_old_ones_in_force",)),
    Row("exception", "a bug raises in any hook", "nothing forwarded or nothing shown", ("tests/process/test_fail_closed.py::test_an_exception_on_the_request_side_forwards_nothing", "tests/process/test_fail_closed.py::test_an_exception_on_the_response_side_shows_nothing", "tests/process/test_fail_closed.py::test_an_exception_at_the_gate_forwards_nothing")),
)  # fmt: skip
