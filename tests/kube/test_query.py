"""Go's ParseQuery and the options decoded from it."""

from __future__ import annotations

import pytest

from pratique.kube.attributes import request_attributes
from pratique.kube.options import EXEC, LIST, OptionsError, decode, decode_list, options_of, to_bool, to_int
from pratique.kube.query import EscapeError, encode, parse, unescape
from pratique.kube.selectors import SelectorError, exact_value, parse_fields, parse_labels


def test_pairs_with_semicolons_and_bad_escapes_are_dropped_as_go_drops_them():
    query = parse(b"a=1&b;c=2&%zz=3&d=%4&&e&=f&g=h=i&a=2")
    assert query.pairs == (("a", "1"), ("e", ""), ("", "f"), ("g", "h=i"), ("a", "2"))
    assert query.errors == (
        "invalid semicolon separator in query",
        'invalid URL escape "%zz"',
        'invalid URL escape "%4"',
    )
    assert (query.values_of("a"), query.first("a"), query.first("x")) == (["1", "2"], "1", None)


def test_plus_is_a_space_in_a_query_only():
    assert parse(b"a=b+c%2B").pairs == (("a", "b c+"),)
    assert unescape(b"a+%2F") == b"a+/"
    with pytest.raises(EscapeError):
        unescape(b"%")


def test_what_is_encoded_parses_to_the_same_pairs():
    pairs = (("a b", "c&d=e;é\x00"), ("x", "\udcff"), ("~-_.", "*/:"))
    assert parse(encode(pairs)).pairs == pairs
    assert encode([("a b", "/")]) == b"a+b=%2F"


@pytest.mark.parametrize("value", ["0", "false", "FALSE", "FaLsE", "fal\u017fe"])
def test_false_in_any_case_is_false(value):
    assert not to_bool(value)


@pytest.mark.parametrize("value", ["", "1", "true", "no", "off", "f", "00", "false "])
def test_everything_else_is_true(value):
    assert to_bool(value)


def test_integers_are_go_s():
    assert (to_int("+5"), to_int("-5"), to_int("007")) == (5, -5, 7)
    for text in ("", "1_0", "0x1", " 1", "\u0661", "1" * 5000, str(2**63)):
        with pytest.raises(OptionsError):
            to_int(text)


def test_ports_repeat_and_take_commas():
    decoded, error = options_of("", "pods", "portforward", "get", parse(b"ports=80,443&ports=1"), None)
    assert (decoded["podPortForwardOptions"]["ports"], error) == ([80, 443, 1], "")
    assert options_of("", "pods", "portforward", "get", parse(b"ports=70000"), None) == (
        {},
        'cannot convert to []int32: strconv.ParseUint: parsing "70000": value out of range',
    )


def test_exec_takes_every_command_and_the_first_container():
    assert decode(EXEC, parse(b"command=a&command=&container=x&container=y").grouped())["command"] == ["a", ""]
    assert decode(LIST, {}) == {**decode(LIST, {}), "watch": False, "limit": 0, "timeoutSeconds": None}


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ("a=b,c!=d", "a=b,c!=d"), ("b==1, a", "a,b==1"), ("!a", "!a"), ("a in (c,b)", "a in (b,c)"), ("a notin ()", "a notin ()"),
        ("a in (,b)", "a in (,b)"), ("a>1,b<2", "a>1,b<2"), ("in in (in)", "in in (in)"), ("a=", "a="), ("x.io/a=b", "x.io/a=b"), ("a in (b,)", "a in (,b)"),
    ],
)  # fmt: skip
def test_label_selectors_parse(selector, text):
    assert ",".join(map(str, parse_labels(selector))) == text


@pytest.mark.parametrize(
    "selector",
    [
        "(((",
        "a,",
        "a=b=c",
        "a in b",
        "a in (b",
        "a in (b c)",
        "a in (!)",
        "a in (=",
        "a b",
        "!",
        "a~b",
        "a=b~",
        "x/y/z",
        "/a",
        "X/a",
        "a/",
        "a>b",
        "a=(",
        "a" * 64,
        "a=" + "b" * 64,
        "x" * 254 + "/a",
        "a b c",
        "a,(",
        "a!",
    ],
)
def test_label_selectors_that_the_server_refuses(selector):
    with pytest.raises(SelectorError):
        parse_labels(selector)


def test_field_selectors_are_sorted_unescaped_and_refused_as_the_server_does():
    assert exact_value(parse_fields("metadata.name=b,metadata.name==a,x!=y"), "metadata.name") == "a"
    assert exact_value(parse_fields("metadata.name!=a"), "metadata.name") is None
    assert parse_fields("a=b\\,c\\=\\\\")[0].value == "b,c=\\"
    assert str(parse_fields("a=b\\,c")[0]) == "a=b\\,c"
    for selector in ("a", "a=b=c", "a=b\\x", "a=b\\"):
        with pytest.raises(SelectorError):
            parse_fields(selector)


def test_selectors_are_absent_without_parameters_and_empty_with_one():
    assert "labelSelector" not in decode_list(parse(b"")).values
    assert decode_list(parse(b"x=1")).values["labelSelector"] == ""


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://h/api/v1/pods", "/api/v1/pods"), (b"http:/x", "/x"), (b"mailto:x", ""), (b"http://u:p@h:1?a", ""), (b"http://[::1]:1/x", "/x"), (b"*", "*"),
    ],
)  # fmt: skip
def test_other_forms_are_read_as_go_reads_them(target, path):
    assert request_attributes("GET", target).path == path


def test_the_server_s_error_text_quotes_the_url():
    assert (
        request_attributes("GET", b"/api/v1/watch?x=1").error
        == "unable to determine kind and namespace from url, /api/v1/watch?x=1"
    )
    assert (
        request_attributes("GET", b"/api/v1%2Fwatch/").error
        == "unable to determine kind and namespace from url, /api/v1%2Fwatch/"
    )
    assert (
        request_attributes("GET", b'/api/v"/watch').error
        == "unable to determine kind and namespace from url, /api/v%22/watch"
    )
