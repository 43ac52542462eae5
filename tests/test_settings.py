"""Options: what would open the gateway is refused, whoever sets it and to whatever value; and the table can be set at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy import addons, options
from mitmproxy.addons import dumper, keepserving, readfile, termlog
from mitmproxy.test import taddons

from pratique import guarded_options, settings
from pratique.errors import StartError

# Options of mitmproxy 12.2 that an operator may set as they please, with what makes each harmless.
HARMLESS = {
    "how it listens": {"listen_host", "listen_port", "certs", "cert_passphrase", "key_size", "confdir"},
    "which TLS it speaks": {
        "ciphers_client", "ciphers_server", "tls_ecdh_curve_client", "tls_ecdh_curve_server", "tls_version_client_max",
        "tls_version_server_max", "strip_ech",
    },
    "refuses more, or ends connections sooner": {
        "block_global", "block_private", "http2", "http2_ping_keepalive", "tcp_timeout",
    },
    "other scripts are the operator's own code": {"scripts"},
    "only for modes that are refused": {
        "dns_name_servers", "dns_use_hosts_file", "http_connect_send_host_header", "show_ignored_hosts", "showhost",
        "onboarding_host", "keep_alt_svc_header",
    },
    "only with replays, which are refused": {
        "client_replay_concurrency", "keepserving", "readfile_filter", "server_replay_extra",
        "server_replay_ignore_content", "server_replay_ignore_host", "server_replay_ignore_params",
        "server_replay_ignore_payload_params", "server_replay_ignore_port", "server_replay_nopop",
        "server_replay_refresh", "server_replay_reuse", "server_replay_use_headers",
    },
    "only for what is shown or saved, which is nothing": {
        "command_history", "content_view_lines_cutoff", "dumper_default_contentview", "dumper_filter",
        "export_preserve_original_ip", "protobuf_definitions", "save_stream_filter",
    },
}  # fmt: skip


@pytest.fixture
def opts() -> Iterator[options.Options]:
    """Every option that mitmdump has, and ours, at its default."""
    chain = [
        *addons.default_addons(),
        dumper.Dumper(),
        keepserving.KeepServing(),
        readfile.ReadFileStdin(),
        termlog.TermLog(),
    ]
    with taddons.context(*chain, loadcore=False) as context:
        settings.add_options(context.options)
        yield context.options


def set_raw(opts: options.Options, name: str, value: Any) -> None:
    """As `--set` and a config file do, without asking mitmproxy's own addons whether they like the value."""
    dict(opts.items())[name].set(value)


def wrong_value(opts: options.Options, name: str, wanted: Any) -> Any:
    option = dict(opts.items())[name]
    if option.typespec is bool:
        return not wanted
    if option.choices:
        return next(choice for choice in option.choices if choice != wanted)
    if isinstance(option.current(), list | tuple) or wanted == []:
        return ["x"]
    return 2 if option.typespec is int else "x"


def test_the_defaults_start(opts: options.Options) -> None:
    settings.force(opts)
    settings.check(opts)


def test_every_option_of_mitmproxy_is_judged(opts: options.Options) -> None:
    """An upgrade that brings a new one (12.3 brought a foreign CA) fails here until somebody has looked at it."""
    tables = {
        name
        for name, *_ in (
            *guarded_options.FORCED,
            *guarded_options.REQUIRED,
            *guarded_options.ONE_OF,
            *guarded_options.FROM_CLUSTER,
        )
    }
    harmless = set().union(*HARMLESS.values())
    known = {name for name in opts.keys() if not name.startswith("pratique_")}  # noqa: SIM118 - no dict
    assert tables & harmless == set()
    assert known == tables | harmless


@pytest.mark.parametrize("name", [name for name, *_ in guarded_options.REQUIRED])
def test_a_required_option_set_otherwise_is_refused(opts: options.Options, name: str) -> None:
    wanted = next(value for other, value, _ in guarded_options.REQUIRED if other == name)
    set_raw(opts, name, wrong_value(opts, name, wanted))
    for refuse in (settings.force, settings.check):
        with pytest.raises(StartError) as refused:
            refuse(opts)
        assert f"`{name}`" in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", [name for name, *_ in guarded_options.FORCED])
def test_a_forced_option_is_set_and_refused_otherwise(opts: options.Options, name: str) -> None:
    wanted = next(value for other, value, _ in guarded_options.FORCED if other == name)
    settings.force(opts)
    assert getattr(opts, name) == wanted
    set_raw(opts, name, wrong_value(opts, name, wanted))
    for refuse in (settings.force, settings.check):
        with pytest.raises(StartError, match=f"`{name}`"):
            refuse(opts)


@pytest.mark.parametrize("name", [name for name, *_ in guarded_options.FORCED])
def test_a_forced_option_given_with_mitmproxys_own_default_is_refused_too(opts: options.Options, name: str) -> None:
    """Somebody who writes it down means it."""
    wanted = next(value for other, value, _ in guarded_options.FORCED if other == name)
    default = opts.default(name)
    if default == wanted:
        set_raw(opts, name, default)
        settings.force(opts)
        return
    set_raw(opts, name, default)
    with pytest.raises(StartError, match=f"`{name}`"):
        settings.force(opts)


@pytest.mark.parametrize("name", [name for name, *_ in guarded_options.FROM_CLUSTER])
def test_what_the_cluster_document_says_cannot_be_said_again(opts: options.Options, name: str) -> None:
    set_raw(opts, name, opts.default(name))  # `--mode regular` is mitmproxy's default
    with pytest.raises(StartError, match=f"`{name}` must not be set"):
        settings.force(opts)


@pytest.mark.parametrize("value", ["UNBOUNDED", "SSL3", "TLS1", "TLS1_1"])
@pytest.mark.parametrize("name", ["tls_version_client_min", "tls_version_server_min"])
def test_old_versions_of_tls_are_refused(opts: options.Options, name: str, value: str) -> None:
    set_raw(opts, name, value)
    with pytest.raises(StartError, match=name):
        settings.force(opts)
    set_raw(opts, name, "TLS1_3")
    settings.force(opts)
    settings.check(opts)


def test_debug_logs_are_refused(opts: options.Options) -> None:
    set_raw(opts, "termlog_verbosity", "debug")
    with pytest.raises(StartError, match="-v"):
        settings.check(opts)


def test_an_unknown_option_is_refused_by_its_name(opts: options.Options) -> None:
    opts.set("pratique_polices=x", defer=True)
    with pytest.raises(StartError, match="`pratique_polices`"):
        settings.check(opts)


@pytest.mark.parametrize("setting", settings.OPTIONS, ids=lambda setting: setting.name)
def test_every_option_of_ours_can_be_set_on_a_command_line(opts: options.Options, setting: settings.Setting) -> None:
    text = str(setting.default).lower() if isinstance(setting.default, bool) else str(setting.default)
    opts.set(f"{setting.name}={text}")
    assert getattr(opts, setting.name) == setting.default
    assert type(setting.default) is setting.typespec
    assert setting.reason
    assert setting.help.endswith(".")
