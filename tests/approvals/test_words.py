"""What a reviewer reads is what will happen, and nothing in it is invisible."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.approvals.words import MAX_ARGUMENTS, escaped_name, escaped_prose, in_words, kind_of
from pratique.kube.attributes import request_attributes


def words(method, target, **more):
    return in_words(request_attributes(method, target.encode()), **more)


@pytest.mark.parametrize(
    ("method", "target", "wanted"),
    [
        ("DELETE", "/apis/apps/v1/namespaces/payments/deployments/api", "delete Deployment payments/api"),
        ("GET", "/api/v1/namespaces/a/secrets/s", "get Secret a/s"),
        ("DELETE", "/api/v1/namespaces/prod", "delete Namespace prod"),
        ("POST", "/api/v1/namespaces", "create Namespace"),
        ("POST", "/api/v1/namespaces/a/pods", "create Pod a/(name made by the cluster)"),
        ("PUT", "/api/v1/nodes/n1", "update Node n1"),
        ("GET", "/api/v1/secrets", "list Secret in the whole cluster"),
        ("GET", "/api/v1/namespaces/a/pods?labelSelector=app%3Dx", "list Pod in namespace a with labels `app=x`"),
        (
            "DELETE",
            "/api/v1/namespaces/a/pods?labelSelector=app%3Dx&fieldSelector=spec.nodeName%3Dn",
            "delete every Pod in namespace a with labels `app=x` with fields `spec.nodeName=n`",
        ),
        ("DELETE", "/api/v1/namespaces/a/pods", "delete every Pod in namespace a"),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", "patch scale of Deployment a/d"),
        ("POST", "/api/v1/namespaces/a/pods/p/eviction", "evict Pod a/p"),
        ("POST", "/api/v1/namespaces/a/pods/p/portforward", "forward a port to Pod a/p"),
        ("GET", "/api/v1/namespaces/a/pods/p/attach", "attach to Pod a/p"),
        ("GET", "/api/v1/namespaces/a/pods/p/exec", "run a command in Pod a/p"),
        ("DELETE", "/apis/example.com/v1/namespaces/a/widgets/w", "delete widgets.example.com a/w"),
        ("GET", "/healthz", "get /healthz"),
        ("PUT", "/api/v1/namespaces/a/pods", "update Pod a/(no name)"),
    ],
)
def test_a_request_in_words(method, target, wanted):
    assert words(method, target) == wanted


def test_a_dry_run_says_so():
    assert words("DELETE", "/api/v1/nodes/n", dry_run=True) == "dry run of: delete Node n"


def test_exec_shows_each_argument_apart():
    line = words("POST", "/api/v1/namespaces/a/pods/p/exec", argv=["sh", "-c", "rm -rf /\u202e"])
    assert line == "run `sh` `-c` `rm -rf /\\u{202e}` in Pod a/p"


def test_more_arguments_are_counted_not_lost():
    line = words("POST", "/api/v1/namespaces/a/pods/p/exec", argv=["x"] * (MAX_ARGUMENTS + 3))
    assert "and 3 more arguments" in line


def test_a_long_line_says_how_much_is_missing():
    line = words("POST", "/api/v1/namespaces/a/pods/p/exec", argv=["y" * 5000])
    assert "more characters)" in line
    assert len(line) < 2200


def test_a_look_alike_name_does_not_look_alike():
    cyrillic = "p\u0430yments"
    assert escaped_name(cyrillic) == "p\\u{430}yments"


def test_no_name_can_look_escaped():
    assert escaped_name("\\u{430}") == "\\\\u{430}"


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_an_escaped_name_is_printable_ascii(text):
    assert all(" " <= character <= "~" for character in escaped_name(text))


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_prose_holds_nothing_invisible(text):
    shown = escaped_prose(text)
    assert all(character == " " or unicodedata.category(character)[0] not in "CZ" for character in shown)


def test_prose_keeps_other_scripts_and_where_wanted_line_breaks():
    assert escaped_prose("für später") == "für später"
    assert escaped_prose("a\nb") == "a\\u{a}b"
    assert escaped_prose("a\nb\x1b[31m", line_breaks=True) == "a\nb\\u{1b}[31m"


@pytest.mark.parametrize(
    ("group", "resource", "kind"),
    [
        ("", "configmaps", "ConfigMap"),
        ("rbac.authorization.k8s.io", "clusterroles", "ClusterRole"),
        ("example.com", "configmaps", "configmaps.example.com"),
        ("serving.knative.dev", "services", "services.serving.knative.dev"),
        ("", "unknowns", "unknowns"),
    ],
)
def test_only_built_in_resources_get_a_built_in_kind(group, resource, kind):
    assert kind_of(group, resource) == kind
