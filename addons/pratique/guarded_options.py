"""The values of mitmproxy's own options without which the gateway would be open, each with its reason. Data only.

What is done with them: `pratique.settings`.
"""

from __future__ import annotations

from typing import Any

# mitmproxy's own options that are set by the bundle: name, value, reason.
FORCED: tuple[tuple[str, Any, str], ...] = (
    ("connection_strategy", "lazy", "`eager` dials the cluster before the client is authenticated"),
    ("upstream_cert", False, "copying the cluster's certificate would dial it before the client is authenticated"),
    ("flow_detail", 0, "request lines hold exec commands, and details hold the injected token"),
    ("onboarding", False, "nothing but the cluster is served"),
    ("keep_host_header", False, "the Host that is sent is the cluster's"),
    ("http3", False, "QUIC connections pass no TLS hook"),
    ("rawtcp", False, "what follows an upgrade is carried by the gateway's own layer, or not at all"),
    ("websocket", False, "what follows an upgrade is carried by the gateway's own layer, or not at all"),
)

# What the `kind: Cluster` document says; an operator may not say it as well.
FROM_CLUSTER: tuple[tuple[str, str], ...] = (
    ("mode", "the gateway is a reverse proxy to the `server` of the Cluster document; any other mode is an open proxy"),
    ("ssl_verify_upstream_trusted_ca", "the cluster's CA is the `certificateAuthority` of the Cluster document"),
    ("client_certs", "a client certificate for the cluster comes from the kubeconfig of the Cluster document"),
)

# What an operator may not set otherwise: name, allowed value, reason.
REQUIRED: tuple[tuple[str, Any, str], ...] = (
    ("save_stream_file", None, "it writes the injected token to the file (-w); use `pratique sessions`"),
    ("hardump", "", "it writes the injected token to the file; use `pratique sessions export`"),
    ("stream_large_bodies", None, "a streamed request reaches the cluster before it is judged"),
    ("store_streamed_bodies", False, "it keeps whole watches in memory"),
    ("body_size_limit", None, "use pratique_request_limit and pratique_response_limit, which answer with a Status"),
    ("ignore_hosts", [], "ignored hosts pass unjudged"),
    ("allow_hosts", [], "hosts not in the list pass unjudged"),
    ("tcp_hosts", [], "raw TCP passes unjudged"),
    ("udp_hosts", [], "raw UDP passes unjudged"),
    ("ssl_insecure", False, "the cluster's certificate is always verified"),
    ("ssl_verify_upstream_trusted_confdir", None, "only the cluster's own CA is trusted"),
    ("validate_inbound_headers", True, "it is mitmproxy's guard against request smuggling"),
    ("normalize_outbound_headers", True, "HTTP/2 wants lower-case names"),
    ("modify_body", [], "what was judged is what is sent"),
    ("modify_headers", [], "what was judged is what is sent"),
    ("map_local", [], "what was judged is what is sent"),
    ("map_remote", [], "there is one upstream, the cluster"),
    ("block_list", [], "refusals come from the Policy documents, as a Status"),
    ("client_replay", [], "a replayed request passes no client authentication"),
    ("server_replay", [], "answers come from the cluster"),
    ("server_replay_kill_extra", False, "answers come from the cluster"),
    ("stickyauth", None, "it repeats one client's credential for another"),
    ("stickycookie", None, "it repeats one client's cookie for another"),
    ("proxyauth", None, "clients authenticate by their `kind: Client` document"),
    ("upstream_auth", None, "the credential for the cluster comes from the Cluster document"),
    ("proxy_debug", False, "it logs bodies"),
    ("request_client_cert", False, "it accepts any certificate"),
    ("anticache", False, "what was judged is what is sent"),
    ("anticomp", False, "what was judged is what is sent"),
    ("add_upstream_certs_to_client_chain", False, "the client must see the gateway's certificate only"),
    ("connect_addr", None, "one route to the cluster"),
    ("rfile", None, "recorded flows are read with `pratique replay`, not in front of a cluster"),
    ("server", True, "a gateway that does not listen serves nobody"),
)

# Of several values: name, allowed values, reason.
ONE_OF: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("termlog_verbosity", ("error", "warn", "info", "alert"), "`debug` (-v) logs requests with their credentials"),
    ("tls_version_client_min", ("TLS1_2", "TLS1_3"), "API keys do not pass over broken versions of TLS"),
    ("tls_version_server_min", ("TLS1_2", "TLS1_3"), "the cluster's token does not pass over broken versions of TLS"),
)
