"""An exec plugin's token is used until it expires, and its failures are named without its output."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime

import pytest

from pratique.errors import CredentialError
from pratique.identity import exec_source
from pratique.identity.exec_source import NO_EXPIRATION_SECONDS, ExecCredentialSource, exec_credential
from pratique.identity.kubeconfig import ExecPlugin
from tests.identity.helpers import HandTime

V1 = "client.authentication.k8s.io/v1"
NOW = 1_700_000_000.0


def plugin(program, version=V1, env=(), info=False):
    return ExecPlugin(version, sys.executable, ("-IS", "-c", program), tuple(env), info)


def printed(now=NOW, life=840.0, token="t0ken", **more):
    status = {"token": token, **more}
    if life is not None:
        status["expirationTimestamp"] = datetime.fromtimestamp(now + life, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"kind": "ExecCredential", "apiVersion": V1, "status": status})


def prints(text):
    return f"print({text!r})"


def credential(given, **more):
    async def run():
        source = ExecCredentialSource(given, clock=lambda: NOW, **more)
        try:
            return await source.credential(NOW)
        finally:
            await source.stop()

    return asyncio.run(run())


def test_the_token_that_the_plugin_prints():
    assert credential(plugin(prints(printed()))).token.reveal() == "t0ken"


def test_the_plugin_is_told_the_cluster_only_where_it_asks_and_gets_its_environment():
    program = (
        "import json, os; info = json.loads(os.environ['KUBERNETES_EXEC_INFO']);"
        "token = os.environ['WHO'] + '-' + info['spec'].get('cluster', {}).get('server', 'none');"
        "print(json.dumps({'kind': info['kind'], 'apiVersion': info['apiVersion'], 'status': {'token': token}}))"
    )
    cluster = {"server": "https://api"}
    asking = credential(plugin(program, env=[("WHO", "me")], info=True), cluster_info=cluster)
    silent = credential(plugin(program, env=[("WHO", "me")]), cluster_info=cluster)
    assert (asking.token.reveal(), silent.token.reveal()) == ("me-https://api", "me-none")


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import sys; print('s3cret', file=sys.stderr); sys.exit(3)", "exit code 3"),
        ("print('s3cret')", "printed no ExecCredential"),
        ("", "printed no ExecCredential"),
        (prints(printed(token="")), "gave no token"),
        (prints(printed(token=None, clientCertificateData="s3cret")), "gave no token"),
        (prints(printed().replace("/v1", "/v1beta1")), "no ExecCredential"),
        (prints(printed().replace("ExecCredential", "Secret")), "no ExecCredential"),
        (prints(printed(life=5.0)), "has expired"),
        (prints(printed().replace('Z"', '"')), "without a zone"),
    ],
)
def test_each_failure_is_a_503_that_does_not_show_the_output(program, says):
    with pytest.raises(CredentialError, match=says) as raised:
        credential(plugin(program))
    assert raised.value.code == 503
    assert "s3cret" not in str(raised.value)


def test_a_plugin_that_is_not_there_says_so():
    with pytest.raises(CredentialError, match="cannot be run: No such file"):
        credential(ExecPlugin(V1, "/no/such/plugin", (), (), False))


def test_a_plugin_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(exec_source, "PLUGIN_SECONDS", 0.05)
    with pytest.raises(CredentialError, match=r"within 0.05 s"):
        credential(plugin("import time; time.sleep(60)"))


def test_a_plugin_reads_nothing_from_the_gateways_terminal():
    program = "import sys; assert sys.stdin.read() == ''; " + prints(printed())
    assert credential(plugin(program)).token.reveal() == "t0ken"


def test_output_beyond_the_limit_is_no_credential():
    with pytest.raises(CredentialError):
        exec_credential(printed(token="x" * exec_source.MAX_OUTPUT_BYTES).encode(), plugin(""))


def refreshes(life, seconds):
    """At which ages of the first token the plugin was run again."""

    async def run():
        clock, runs = HandTime(NOW), []
        source = ExecCredentialSource(plugin(""), clock=clock, sleep=clock.sleep, chance=lambda: 0.0)

        def output():
            runs.append(clock() - NOW)
            return printed(clock(), life).encode()

        source._run = output
        await source.start()
        assert source.describe().expires == (None if life is None else NOW + life - exec_source.CLOCK_SKEW_SECONDS)
        await clock.pass_(seconds, step=5)
        await source.stop()
        return runs[1:]

    return asyncio.run(run())


def test_a_token_is_fetched_anew_with_a_quarter_of_its_life_left():
    assert refreshes(840.0, 640) == [pytest.approx(630, abs=6)]


def test_a_token_without_an_expiration_is_asked_for_again_all_the_same():
    assert refreshes(None, NO_EXPIRATION_SECONDS + 10) == [pytest.approx(NO_EXPIRATION_SECONDS, abs=6)]
