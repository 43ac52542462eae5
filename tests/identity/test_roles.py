"""Each client is somebody of its own in AWS and in the cluster, or says so in its document; nobody gets another's role."""

from __future__ import annotations

import re

import msgspec
import pytest

from pratique.behalf import GATEWAY, Behalf
from pratique.errors import DocumentErrors
from pratique.identity.clusters import EksSource
from pratique.identity.roles import AssumedRole, assumed_role, role_errors, with_role
from pratique.loaded import load
from tests.identity.helpers import documents

Y = "arn:aws:iam::123456789012:role/RoleY"
OWN = "arn:aws:iam::123456789012:role/billing"
SESSION = "20260131T235959123Z-abcdefghijklmnop"
EKS = EksSource(cluster_name="prod", region="eu-west-1", role_arn=Y)


def eks(**fields):
    return msgspec.structs.replace(EKS, **fields)


@pytest.mark.parametrize(
    ("assume", "behalf", "role", "name"),
    [
        ("gateway", GATEWAY, Y, "pratique"),
        ("gateway", Behalf("agent", "", SESSION), Y, "pratique"),
        ("gateway", Behalf("agent", OWN, SESSION), OWN, "agent"),
        ("client", GATEWAY, Y, "pratique"),
        ("client", Behalf("agent", "", SESSION), Y, "agent"),
        ("client", Behalf("agent", OWN, SESSION), OWN, "agent"),
        ("session", GATEWAY, Y, "pratique"),
        ("session", Behalf("agent", "", SESSION), Y, f"agent-{SESSION}"),
        ("session", Behalf("agent", OWN, ""), OWN, "agent"),
        ("session", Behalf("a" * 63, "", SESSION), Y, f"{'a' * 27}-{SESSION}"),
    ],
)
def test_role_and_session_name(assume, behalf, role, name):
    found = assumed_role(eks(assume=assume), behalf)
    assert (found.role_arn, found.session_name) == (role, name)
    assert re.fullmatch(r"[\w+=,.-]{2,64}", found.session_name)


def test_the_words_stand_for_client_and_session():
    given = eks(
        assume="session", source_identity="who-{client}", session_tags={"b": "{session}", "a": "{client}", "c": "x"}
    )
    found = assumed_role(given, Behalf("agent", "", SESSION))
    assert found.source_identity == "who-agent"
    assert found.tags == (("a", "agent"), ("b", SESSION), ("c", "x"))
    own = assumed_role(given, GATEWAY)
    assert (own.source_identity, own.tags) == ("who-pratique", (("a", "pratique"), ("b", "pratique"), ("c", "x")))
    asked = with_role(given, found)
    assert (asked.role_arn, asked.source_identity) == (Y, "who-agent")
    assert asked.session_tags == {"a": "agent", "b": SESSION, "c": "x"}


def test_two_clients_never_share_a_session_of_a_role_of_their_own():
    one, two = (assumed_role(eks(assume="gateway"), Behalf(name, OWN)) for name in ("one", "two"))
    assert one != two
    assert one == AssumedRole(OWN, "one")


CLUSTER = "apiVersion: pratique/v1\nkind: Cluster\nmetadata: {name: c}\nspec: {server: https://a, certificateAuthority: {path: ca}, %s}\n"
CLIENT = "---\napiVersion: pratique/v1\nkind: Client\nmetadata: {name: agent}\nspec: {apiKeys: [], roleARN: '%s'}\n"
FROM_EKS = f"eks: {{clusterName: p, region: eu-west-1, roleARN: '{Y}'}}"


def test_a_clients_role_needs_a_cluster_that_assumes_roles():
    (error,) = role_errors(documents(CLUSTER % "tokenFile: t" + CLIENT % OWN))
    assert str(error).startswith("policies/identity.yaml:9:21: client `agent` names a role")
    assert role_errors(documents(CLUSTER % FROM_EKS + CLIENT % OWN)) == []
    assert role_errors(documents(CLIENT % OWN)) == []
    assert role_errors(documents(CLUSTER % "tokenFile: t")) == []


def test_a_folder_is_refused_whose_client_names_a_role_in_vain_or_no_role(tmp_path):
    file = tmp_path / "all.yaml"
    file.write_text(CLUSTER % "tokenFile: t" + CLIENT % OWN)
    with pytest.raises(
        DocumentErrors, match=r"all.yaml:9:21: client `agent` names a role, but the Cluster has no `eks`"
    ):
        load(tmp_path)
    file.write_text(CLUSTER % FROM_EKS + CLIENT % "RoleY")
    with pytest.raises(DocumentErrors, match=r"`RoleY` cannot be roleARN"):
        load(tmp_path)
    file.write_text(CLUSTER % FROM_EKS + CLIENT % OWN)
    assert load(tmp_path).clients.names == ("agent",)
