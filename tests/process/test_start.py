"""What must not start does not, and says why in one line; every way to start serves the same."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pratique.sandbox.seed import CANARIES
from tests.process.cluster import FakeCluster
from tests.process.gateway import ROOT, Gateway, eventually
from tests.process.starts import Starts

pytestmark = pytest.mark.process
LIST = "/api/v1/namespaces/payments/configmaps"


def one_line(output: str, *words: str) -> None:
    """Exactly one line of ours, with these words and no traceback."""
    ours = [line for line in output.splitlines() if line.startswith("pratique:")]
    assert len(ours) == 1, output
    assert "Traceback" not in output
    for word in words:
        assert word in ours[0], ours[0]


# --- refused ---

OPTIONS = {
    "f10-write": (["-w", "flows"], ["save_stream_file", "token"]),
    "f10-verbose": (["-v"], ["-v", "credentials"]),
    "f10-hardump": (["--set", "hardump=out.har"], ["hardump", "token"]),
    "f25-mistyped": (["--set", "pratique_polices=x"], ["unknown option", "`pratique_polices`"]),
    "f27-stream": (["--set", "stream_large_bodies=1"], ["stream_large_bodies", "before it is judged"]),
    "f28-http3": (["--set", "http3=true"], ["http3"]),
    "f29-client-cert": (["--set", "request_client_cert=true"], ["request_client_cert"]),
    "f29-proxyauth": (["--proxyauth", "any"], ["proxyauth"]),
    "f30-eager": (["--set", "connection_strategy=eager"], ["connection_strategy", "authenticated"]),
    "insecure": (["-k"], ["ssl_insecure"]),
    "mode-regular": (["--mode", "regular"], ["mode", "open proxy"]),
    "mode-socks5": (["--mode", "socks5"], ["mode", "open proxy"]),
    "mode-upstream": (["--mode", "upstream:http://127.0.0.1:1"], ["mode", "open proxy"]),
    "mode-other-host": (["--mode", "reverse:http://127.0.0.1:1"], ["mode", "open proxy"]),
    "not-a-number": (["--set", "pratique_hold=soon"], ["pratique_hold"]),
}


@pytest.mark.parametrize("form", ["run", "mitmdump"])
@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_that_opens_the_gateway_is_refused(starts: Starts, make_gateway, case: str, form: str) -> None:
    options, words = OPTIONS[case]
    gateway = make_gateway(options=options, form=form)
    one_line(starts.refused(gateway), *words)
    for name in ("flows", "out.har"):
        assert not (gateway.folder / name).exists() or (gateway.folder / name).stat().st_size == 0


@pytest.mark.parametrize("form", ["run", "mitmdump"])
def test_f27_the_same_in_a_config_file(starts: Starts, make_gateway, form: str) -> None:
    gateway = make_gateway(form=form)
    config = gateway.folder / "conf"
    config.mkdir()
    (config / "config.yaml").write_text("stream_large_bodies: 3m\n")
    gateway.options = ["--set", f"confdir={config}"]
    one_line(starts.refused(gateway), "stream_large_bodies")


def test_a_missing_policy_folder_is_refused(starts: Starts, make_gateway) -> None:
    gateway = make_gateway()
    gateway.policies.rename(gateway.folder / "elsewhere")
    one_line(starts.refused(gateway), str(gateway.policies), "cannot be read")


@pytest.mark.parametrize("form", ["run", "mitmdump"])
def test_a_typing_error_in_a_policy_is_refused_with_its_place(starts: Starts, make_gateway, form: str) -> None:
    gateway = make_gateway(form=form)
    file = gateway.policies / "policy.yaml"
    lines = file.read_text().replace("action: Deny", "action: Dney").splitlines()
    file.write_text("\n".join(lines))
    number = next(n for n, line in enumerate(lines, 1) if "Dney" in line)
    column = lines[number - 1].index("Dney") + 1
    one_line(starts.refused(gateway), f"policy.yaml:{number}:{column}: ", "Dney")


def test_no_cluster_document_is_refused(starts: Starts, make_gateway) -> None:
    gateway = make_gateway()
    (gateway.policies / "cluster.yaml").unlink()
    one_line(starts.refused(gateway), "Cluster")


@pytest.mark.parametrize("place", ["file", "below-a-file", "proc"])
def test_a_state_folder_that_cannot_be_written_is_refused(starts: Starts, make_gateway, place: str) -> None:
    gateway = make_gateway()
    (gateway.folder / "a-file").write_text("")
    where = {
        "file": gateway.folder / "a-file",
        "below-a-file": gateway.folder / "a-file" / "state",
        "proc": Path("/proc/x"),
    }
    gateway.state = where[place]
    one_line(starts.refused(gateway), "state folder", "cannot be written")


def test_a_state_folder_that_another_gateway_has_is_refused(gateway: Gateway, starts: Starts, make_gateway) -> None:
    second = make_gateway()
    second.state = gateway.state
    one_line(starts.refused(second), "another gateway writes there")


def test_f20_a_port_in_use_is_refused(gateway: Gateway, starts: Starts, make_gateway) -> None:
    second = make_gateway()
    second.port = gateway.port
    output = starts.refused(second)
    assert "address already in use" in output
    assert "--mode" not in output


def test_f08_a_script_that_does_not_load_is_refused(starts: Starts, make_gateway) -> None:
    gateway = make_gateway(form="mitmdump")
    gateway.script = gateway.folder / "gateway.py"
    gateway.script.write_text((ROOT / "addons" / "gateway.py").read_text() + "\ndef broken(:\n")
    assert "SyntaxError" in starts.refused(gateway)


def test_f25_a_bad_value_for_an_option_of_another_script_is_refused(
    starts: Starts, make_gateway, tmp_path: Path
) -> None:
    """mitmproxy then drops the script that comes next, which is the gateway, and serves on."""
    other = tmp_path / "other.py"
    other.write_text("def load(loader):\n    loader.add_option('other_number', int, 1, '')\n")
    gateway = make_gateway(form="mitmdump", scripts=[other], options=["--set", "other_number=many"])
    one_line(starts.refused(gateway), "other_number")


def test_f08_another_script_that_does_not_load_is_refused(starts: Starts, make_gateway, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('broken')\n")
    assert "broken" in starts.refused(make_gateway(form="mitmdump", scripts=[broken]))


def test_the_address_of_mitmweb_is_no_cluster(starts: Starts, make_gateway, tmp_path: Path) -> None:
    """CVE-2025-23217: mitmweb's API must not be reached through its own proxy."""
    web = tmp_path / "web.py"
    web.write_text(
        "def load(loader):\n"
        "    loader.add_option('web_host', str, '127.0.0.1', '')\n"
        "    loader.add_option('web_port', int, 8081, '')\n"
    )
    cluster = FakeCluster(tmp_path / "cluster")
    gateway = make_gateway(
        form="mitmdump", scripts=[web], sandbox=cluster, options=["--set", f"web_port={cluster.port}"]
    )
    one_line(starts.refused(gateway), "mitmweb")
    cluster.close()


# --- not yet ---


def test_f25_nothing_is_served_before_the_start_is_done(make_gateway, tmp_path: Path) -> None:
    """Another script takes its time in `running`; mitmdump listens since long."""
    go = tmp_path / "go"
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import asyncio, pathlib\n"
        "async def running():\n"
        f"    while not pathlib.Path({str(go)!r}).exists():\n"
        "        await asyncio.sleep(0.02)\n"
    )
    gateway = make_gateway(form="mitmdump", scripts=[slow])
    before = len(gateway.sandbox.requests)
    gateway.launch()
    eventually(lambda: "listening at" in gateway.output, 120)
    head = gateway.head(f"GET {LIST}")
    target = gateway.sandbox.info.server.removeprefix("https://")
    for data in (head, f"CONNECT {target} HTTP/1.1\r\n\r\n".encode(), head.replace(b" /", b" http://127.0.0.1:1/")):
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as sock:
            sock.sendall(data)
            try:
                assert sock.recv(65536) == b""
            except ConnectionResetError:
                pass
    assert "pratique serves" not in gateway.output
    assert len(gateway.sandbox.requests) == before
    go.touch()
    eventually(lambda: "pratique serves" in gateway.output)
    assert gateway.call("GET", LIST).code == 200


# --- served ---


@pytest.mark.parametrize("form", ["command", "mitmdump", "activated"])
def test_every_way_to_start_serves_the_same(make_gateway, form: str) -> None:
    """The service form is what all other tests use."""
    gateway = make_gateway(form=form).start()
    assert gateway.call("GET", LIST, client="").code == 401
    assert gateway.call("DELETE", "/api/v1/namespaces/payments").code == 403
    listed = gateway.call("GET", "/api/v1/secrets")
    assert listed.code == 200
    assert listed.json["items"]
    assert not [canary for canary in CANARIES if canary.encode() in listed.body]
    created = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": f"started-{form}"}}
    assert gateway.call("POST", LIST, created).code == 201
    assert gateway.call("DELETE", f"{LIST}/started-{form}").reason == "ApprovalPending"
    assert gateway.stop() == 0
    recorded = gateway.recorded()
    assert f"started-{form}".encode() in recorded
    assert gateway.sandbox.info.static_token.encode() not in recorded
    assert "Traceback" not in gateway.output


# --- edited while it runs ---


def test_f06_f07_an_edited_script_ends_the_process(make_gateway) -> None:
    source = (ROOT / "addons" / "gateway.py").read_text()
    edits = {
        "broken": lambda path: path.write_text(source + "\ndef broken(:\n"),
        "deleted": lambda path: path.unlink(),
        "touched": lambda path: os.utime(path, (2**31, 2**31)),
    }
    running: dict[str, Gateway] = {}
    for name in edits:
        gateway = running[name] = make_gateway(form="mitmdump")
        gateway.script = gateway.folder / "gateway.py"
        gateway.script.write_text(source)
        gateway.launch()
    for name, gateway in running.items():
        gateway.started()
        assert gateway.call("GET", LIST).code == 200
        edits[name](gateway.script)
    for gateway in running.values():
        one_line(gateway.ended(1), "stops serving", "script")
        with pytest.raises(OSError):
            gateway.call("GET", LIST)


def test_f06_f14_the_service_form_watches_no_file(gateway: Gateway) -> None:
    command = Path(f"/proc/{gateway.pid}/cmdline").read_bytes().split(b"\0")
    assert b"-s" not in command
    assert "Loading script" not in gateway.output


def test_f37_the_installed_mitmproxy_is_one_that_was_looked_at() -> None:
    import tomllib
    from importlib.metadata import version

    from mitmproxy import options
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (pinned,) = [Requirement(text) for text in project["dependencies"] if Requirement(text).name == "mitmproxy"]
    assert "12.2.2" not in pinned.specifier  # F21
    assert "12.3.0" not in pinned.specifier
    assert version("mitmproxy") in pinned.specifier
    assert not [name for name in options.Options().keys() if "emudhra" in name.lower()]
