"""Sessions: a rule on an argument list is about that list, and stdin and tty are classes of their own (threat list, 5)."""

from __future__ import annotations

import pytest

from pratique.policy.request import PolicyRequest
from pratique.verdict import Action
from tests.kube.requests import WEBSOCKET, canonical
from tests.policy.test_decision import agreed, policies

A, R, D = Action.ALLOW, Action.REQUIRE_APPROVAL, Action.DENY
EXEC = "/api/v1/namespaces/dev/pods/web/exec?stdout=true&"
ATTACH = "/api/v1/namespaces/dev/pods/web/attach?stdout=true&"
RULE = "verbs: [create], resources: [pods/exec, pods/attach], action: Allow, exec: "
ANYTHING = policies(f"{RULE}{{stdin: true, tty: true}}")


def ask(path):
    return PolicyRequest.from_canonical("mcp-1", canonical("GET", path, WEBSOCKET))


@pytest.mark.parametrize(
    "query",
    [
        "command=sh&stdin=true",
        "command=sh&stdin=true&tty=true",
        "command=sh&tty=true",
        "command=sh&stdin=1",
        "command=sh&stdin=TRUE",
        "command=sh&stdin=",
        "command=sh&stdin",
    ],
)
def test_bypass_5_01_a_command_that_is_allowed_is_not_allowed_with_stdin_or_a_terminal(query):
    compiled = policies(f"{RULE}{{commands: [[sh]]}}")
    assert agreed(compiled, ask(EXEC + "command=sh")).action is A
    assert agreed(compiled, ask(EXEC + query)).action is D


@pytest.mark.parametrize(
    ("query", "stdin", "tty"), [("command=sh", D, D), ("command=sh&stdin=true", A, D), ("command=sh&tty=true", D, A)]
)
def test_bypass_5_01_stdin_and_a_terminal_are_allowed_apart(query, stdin, tty):
    for field, expected in (("stdin", stdin), ("tty", tty)):
        verdict = agreed(policies(f"{RULE}{{commands: [[sh]], {field}: true}}"), ask(EXEC + query)).action
        assert verdict is (A if query == "command=sh" else expected)


# What starts a shell, or any program, by way of one that looks harmless: no rule on the first word allows them.
@pytest.mark.parametrize(
    "argv",
    [
        ["ls", "-l", "/"],
        ["ls;id"],
        ["ls", ";", "id"],
        ["ls\nid"],
        ["ls -l"],
        ["/bin/ls"],
        ["./ls"],
        ["LS"],
        ["ls", ""],
        ["env", "X=1", "ls"],
        ["xargs", "ls"],
        ["find", "/", "-exec", "ls"],
        ["sh", "-c", "ls"],
        ["sh", "-c", "$(cat)"],
        ["busybox", "ls"],
        ["vi"],
        ["less", "ls"],
        ["psql", "-c", r"\! ls"],
    ],
)
def test_bypass_5_01_the_whole_list_counts_and_not_its_joined_text(argv):
    query = "&".join(f"command={''.join(f'%{byte:02X}' for byte in each.encode())}" for each in argv)
    compiled = policies(f"{RULE}{{commands: [[ls], [ls, '-l']]}}")
    request = ask(EXEC + query)
    assert request.exec.command == tuple(argv)
    assert agreed(compiled, request).action is D
    assert agreed(compiled, ask(EXEC + "command=ls&command=-l")).action is A


def test_bypass_5_01_a_nul_in_an_argument_is_refused_or_kept_but_never_cuts_it():
    compiled = policies(f"{RULE}{{commands: [[ls]]}}")
    try:
        request = ask(EXEC + "command=ls%00-x")
    except Exception as refused:
        assert getattr(refused, "code", 0) == 400
        return
    assert agreed(compiled, request).action is D


@pytest.mark.parametrize(
    ("query", "command", "stdin", "tty", "container"),
    [
        ("command=a&command=b", ("a", "b"), False, False, ""),
        ("command=a&command=", ("a", ""), False, False, ""),
        ("command=a&Command=b", None, False, False, ""),
        ("command=a&stdin=false&tty=0", ("a",), False, False, ""),
        ("command=a&container=x", ("a",), False, False, "x"),
        ("command=a+b", ("a b",), False, False, ""),
        ("command=a%2Bb", ("a+b",), False, False, ""),
        ("command=a&stdin=true&stdin=false", None, False, False, ""),
        ("command=a&container=x&container=y", None, False, False, ""),
        ("command=a&stdin=no", None, False, False, ""),
        ("command=a;stdin=true", None, False, False, ""),
    ],
)
def test_bypass_5_02_parameters_are_read_as_the_server_reads_them_or_refused(query, command, stdin, tty, container):
    """None: refused before any policy, because two readers would see two requests."""
    if command is None:
        with pytest.raises(Exception, match=".") as caught:
            ask(EXEC + query)
        assert caught.value.code == 400
        return
    options = ask(EXEC + query).exec
    assert (options.command, options.stdin, options.tty, options.container) == (command, stdin, tty, container)


def test_bypass_5_07_the_decision_is_the_same_by_websocket_and_by_spdy():
    spdy = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io"}
    for rule in (f"{RULE}{{commands: [[ls]]}}", RULE.partition(", action")[0] + ", action: Deny"):
        compiled = policies(rule, "verbs: [create], resources: [pods/exec], resourceNames: [other], action: Allow")
        posted = PolicyRequest.from_canonical("mcp-1", canonical("POST", EXEC + "command=ls", spdy))
        assert agreed(compiled, posted).action is agreed(compiled, ask(EXEC + "command=ls")).action


def test_bypass_5_12_attach_is_of_the_class_of_exec_and_its_command_is_unknown():
    assert agreed(ANYTHING, ask(ATTACH + "stdin=true&tty=true")).action is A
    assert agreed(policies(f"{RULE}{{commands: [['**']]}}"), ask(ATTACH)).action is D
    deny = "verbs: [create], resources: [pods/exec, pods/attach], action: Deny, exec: {commands: [[sh, '**']]}"
    assert agreed(policies(deny, f"{RULE}{{}}"), ask(ATTACH)).action is D
    assert agreed(policies(deny, f"{RULE}{{}}"), ask(EXEC + "command=ls")).action is A
