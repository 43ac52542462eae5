"""Every option of pratique, and every option of mitmproxy that pratique decides.

Belongs here: names, types, units, defaults and their reasons; the check that nobody set one of mitmproxy's own options to
what would open the gateway (`guarded_options`). README's table of options is compared with `OPTIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mitmproxy import options, optmanager

from pratique.errors import StartError
from pratique.guarded_options import FORCED, FROM_CLUSTER, ONE_OF, REQUIRED


@dataclass(frozen=True, slots=True)
class Setting:
    """One option: `--set NAME=VALUE`. `reason` says why the default is what it is and how to switch it off.

    `typespec` is str, int or bool: mitmproxy cannot read a float from a command line.
    """

    name: str
    typespec: type
    default: Any
    unit: str
    help: str
    reason: str


OPTIONS = (
    Setting(
        "pratique_policies",
        str,
        "",
        "folder",
        "Folder with the documents (Cluster, Client, Issuer, Policy, MaskPolicy, Reviewer, Webhook, Recording).",
        "empty means `policies/` beside `addons/`; there is no gateway without documents, so it cannot be switched off",
    ),
    Setting(
        "pratique_state",
        str,
        "",
        "folder",
        "Folder for what the gateway writes: approvals, recordings, its CA.",
        "empty means `.pratique` in the working directory; without a writable folder the gateway does not start",
    ),
    Setting(
        "pratique_worker",
        int,
        0,
        "",
        "Which of several processes this is. Set by `pratique run --workers N`; not to be set by hand.",
        "0 is the only one, or the first: it serves the reviewers' page and sends notifications",
    ),
    Setting(
        "pratique_workers",
        int,
        1,
        "",
        "How many processes there are. Set by `pratique run --workers N`; not to be set by hand.",
        "1 is itself; of more, the first asks the others for /readyz and /metrics",
    ),
    Setting(
        "pratique_dynamodb_table",
        str,
        "",
        "table",
        "DynamoDB table for what several replicas share: approvals, grants, revocations, messages to webhooks.",
        "empty keeps them in the state folder, for the processes of one machine; `pratique store create` makes the table",
    ),
    Setting(
        "pratique_dynamodb_region",
        str,
        "",
        "region",
        "AWS region of that table.",
        "empty means the region of the environment (AWS_REGION, the profile); AWS_ENDPOINT_URL_DYNAMODB names another"
        " endpoint",
    ),
    Setting(
        "pratique_hold",
        int,
        45,
        "seconds",
        "How long a request that needs an approval is held before the client is told to ask again.",
        "MCP hosts and load balancers give up at 60 s (client-behaviour, measured); 0 answers at once",
    ),
    Setting(
        "pratique_exec_hold",
        int,
        300,
        "seconds",
        "How long kubectl's exec and attach are held: their upgrade is answered at once, and stderr says what they wait for.",
        "a person who reads that can wait; lines and pings keep load balancers patient; 0 holds them silently, as any request",
    ),
    Setting(
        "pratique_admin",
        str,
        "127.0.0.1:0",
        "host:port",
        "Where reviewers decide: their page, the HTTP API; and /healthz, /readyz, /metrics; with TLS.",
        "loopback, because who may reach it is for the operator to say; port 0 is a free one that is kept in the state"
        " folder, so that several gateways fit on one machine; empty switches it off",
    ),
    Setting(
        "pratique_playground",
        bool,
        False,
        "",
        "Whether reviewers get a playground: requests and policies tried out on the page, with what was recorded to pick from.",
        "every reviewer sees recorded requests of all clients there (masked, as they are recorded); `./scripts/demo` has it",
    ),
    Setting(
        "pratique_admin_url",
        str,
        "",
        "URL",
        "How reviewers reach it, where that is not its own address (an ingress); stands in messages and links.",
        "empty means `https://` and the address that it listens on",
    ),
    Setting(
        "pratique_admin_certificate",
        str,
        "",
        "file",
        "PEM with certificate chain and key for it.",
        "empty means a certificate of the gateway's own CA, as clients get one",
    ),
    Setting(
        "pratique_request_limit",
        int,
        3 * 1024 * 1024,
        "bytes",
        "Largest request body.",
        "the API server's own limit (3145728); a larger one would be refused there",
    ),
    Setting(
        "pratique_response_limit",
        int,
        128 * 1024 * 1024,
        "bytes",
        "Largest response body that is buffered to be masked; a larger one is answered 502.",
        "a list of 40,000 pods is about 100 MB; streams (watch, logs) are not buffered and not limited",
    ),
    Setting(
        "pratique_connections",
        int,
        256,
        "connections",
        "Requests of one client connection that may be open at once, each with its upstream connection if need be.",
        "mitmproxy allows 5 and HTTP/2 clients 100, which stalls a client with more watches; client-go opens up to 250",
    ),
    Setting(
        "pratique_streams",
        int,
        512,
        "requests",
        "Requests of one client that may be open at once, watches included; one more is answered 429.",
        "bounds what one client can make the gateway hold in memory",
    ),
    Setting(
        "pratique_unread",
        int,
        64 * 1024 * 1024,
        "bytes",
        "Answers that an HTTP/2 client has not read yet, per connection; beyond it the stream that adds to them is reset.",
        "bounds what a client that does not read can make the gateway hold; HTTP/1.1 clients are held back by TCP",
    ),
    Setting(
        "pratique_head_timeout",
        int,
        32,
        "seconds",
        "How long a new connection may take to send a request with a valid credential; then it is closed.",
        "kube-apiserver's ReadHeaderTimeout (1.36); without it anybody could use up the file descriptors",
    ),
    Setting(
        "pratique_connect_timeout",
        int,
        10,
        "seconds",
        "How long connecting to the cluster (TCP and TLS) may take; longer is answered 504.",
        "client-go gives a TLS handshake 10 s; an operating system gives up after two minutes",
    ),
    Setting(
        "pratique_answer_timeout",
        int,
        75,
        "seconds",
        "How long the cluster may take to answer; longer is answered 504. Watches, logs, exec and proxied apps have no limit.",
        "an API server ends its own requests after 60 s (--request-timeout), so one that is silent for longer hangs",
    ),
    Setting(
        "pratique_drain",
        int,
        20,
        "seconds",
        "How long requests, execs and port-forwards get to end when the gateway stops; a second signal ends them now.",
        "Kubernetes sends SIGKILL 30 s after SIGTERM; recordings are closed in the rest",
    ),
    Setting(
        "pratique_log_format",
        str,
        "text",
        "",
        "`text`, or `json`: one JSON object a line, also one for every request.",
        "people read the one, programs the other",
    ),
    Setting(
        "pratique_session_limit",
        int,
        4 * 3600,
        "seconds",
        "How long an exec, attach or port-forward may last.",
        "the kubelet's own idle time-out (4 h), which a client's pings keep from ever running out",
    ),
    Setting(
        "pratique_plaintext",
        bool,
        False,
        "",
        "Serve clients without TLS (a sidecar on loopback, tests).",
        "an API key over plain HTTP can be read on the wire",
    ),
    Setting(
        "pratique_reload",
        int,
        1,
        "seconds",
        "How often the folder of documents is looked at for changes; a bad set keeps the old one.",
        "an operator expects an edit to act at once; 0 switches reloading off",
    ),
    Setting(
        "pratique_record_key",
        str,
        "",
        "ARN",
        "AWS KMS key (usage SIGN_VERIFY, such as ECC_NIST_P256) that vouches for the gateway's signing key of each run.",
        "empty means a key on the disk of the recordings, which whoever takes the disk has too",
    ),
    Setting(
        "pratique_segment_size",
        int,
        64 * 1024 * 1024,
        "bytes",
        "A session that has recorded more goes on in a new one.",
        "what is sealed can be copied away and verified alone; a file of 64 MiB still opens in mitmweb; 0 switches it off",
    ),
    Setting(
        "pratique_segment_age",
        int,
        3600,
        "seconds",
        "A session that was opened longer ago goes on in a new one with its next request.",
        "an hour is what may be missing elsewhere when the machine is lost; 0 switches it off",
    ),
    Setting(
        "pratique_segment_bucket",
        str,
        "",
        "bucket",
        "S3 bucket that closed sessions are copied to: never overwritten, checked by SHA-256, encrypted with SSE-KMS.",
        "empty copies nothing: the recordings are on this disk only",
    ),
    Setting(
        "pratique_segment_prefix",
        str,
        "pratique",
        "",
        "What the names of the objects begin with; the cluster's name follows.",
        "several gateways may share a bucket",
    ),
    Setting(
        "pratique_segment_key",
        str,
        "",
        "ARN",
        "KMS key for SSE-KMS of the objects.",
        "empty means the account's key aws/s3, which every reader of the bucket may use",
    ),
    Setting(
        "pratique_segment_lock",
        str,
        "",
        "",
        "Object Lock of each object: `governance` or `compliance`; the bucket must have it switched on.",
        "empty leaves it to the bucket's own default retention",
    ),
    Setting(
        "pratique_segment_lock_days",
        int,
        365,
        "days",
        "How long a locked object cannot be removed.",
        "the year that auditors usually ask for",
    ),
    Setting(
        "pratique_spool_limit",
        int,
        4 * 1024 * 1024 * 1024,
        "bytes",
        "How much may wait for the bucket.",
        "some days of a busy gateway; 0 is no limit but the disk's",
    ),
    Setting(
        "pratique_spool_full",
        str,
        "refuse",
        "",
        "Beyond that: `refuse` serves nothing more, `serve` goes on recording on this disk only.",
        "what cannot be recorded where it belongs is not served",
    ),
    Setting(
        "pratique_retention_days",
        int,
        0,
        "days",
        "Closed sessions are removed here after this time; with a bucket only those that were copied.",
        "0 keeps them for ever: an operator decides what may go",
    ),
)


def add_options(opts: options.Options) -> None:
    """Register every option of `OPTIONS`."""
    for setting in OPTIONS:
        if setting.name not in opts:
            opts.add_option(setting.name, setting.typespec, setting.default, setting.help)


def force(opts: options.Options) -> None:
    """Set the options of `FORCED`. StartError where an operator set one of any table otherwise."""
    _check_values(opts)
    for name, value, reason in FORCED:
        if _given(opts, name) and not _same(getattr(opts, name), value):
            raise _must_stay(name, value, reason)
    for name, reason in FROM_CLUSTER:
        if _given(opts, name):
            raise StartError(f"option `{name}` must not be set: {reason}")
    opts.update_known(**{name: value for name, value, _ in FORCED if name in opts})


def check(opts: options.Options) -> None:
    """StartError if any option opens the gateway, or was given and is known to nobody (mistyped)."""
    if opts.deferred:
        names = ", ".join(f"`{name}`" for name in sorted(opts.deferred))
        raise StartError(f"unknown option {names}. Look for a typing error; `mitmdump --options` lists them")
    _check_values(opts)
    for name, value, reason in FORCED:
        if name in opts and not _same(getattr(opts, name), value):
            raise _must_stay(name, value, reason)


def from_cluster(opts: options.Options) -> dict[str, Any]:
    """The values of `FROM_CLUSTER`, to notice a later change."""
    return {name: getattr(opts, name) for name, _ in FROM_CLUSTER}


def _check_values(opts: options.Options) -> None:
    for name, allowed, reason in ONE_OF:
        if name in opts and getattr(opts, name) not in allowed:
            raise StartError(f"option `{name}` must be one of {', '.join(allowed)}: {reason}")
    for name, value, reason in REQUIRED:
        if name in opts and not _same(getattr(opts, name), value):
            raise _must_stay(name, value, reason)


def _given(opts: options.Options, name: str) -> bool:
    """Whether somebody set the option, be it to its default."""
    return name in opts and dict(opts.items())[name].value is not optmanager.unset


def _must_stay(name: str, value: Any, reason: str) -> StartError:
    shown = "unset" if value in (None, "", []) else f"`{str(value).lower()}`"
    return StartError(f"option `{name}` must stay {shown}: {reason}")


def _same(actual: Any, wanted: Any) -> bool:
    return (actual or None) == (wanted or None)


def as_mapping(opts: options.Options) -> Mapping[str, Any]:
    """The values of pratique's own options, for tests and `doctor`."""
    return {setting.name: getattr(opts, setting.name) for setting in OPTIONS}
