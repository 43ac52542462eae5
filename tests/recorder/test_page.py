"""The page of a session holds all of it, interprets none of it, and asks no other machine for anything."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pratique.recorder import page
from pratique.recorder.casts import Event
from pratique.recorder.events import StreamEvent
from tests.cli.support import ATTACK, SESSION

WEB = Path(page.__file__).with_name("web")


class Parsed(html.parser.HTMLParser):
    """Every element, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[int, str] = {}
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[len(self.elements) - 1] = self.texts.get(len(self.elements) - 1, "") + data


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> str:
    from pratique.cli.exporting import exported
    from pratique.recorder.keys import verifier
    from pratique.recorder.sessions import Recordings
    from tests.cli.support import make_state

    state = make_state(tmp_path_factory.mktemp("state"))
    return exported(Recordings(state), SESSION, "html", verifier(state), 1.0)


def test_no_recorded_value_becomes_an_element(exported: str) -> None:
    assert ATTACK not in exported
    parsed = Parsed(exported)
    tags = [tag for tag, _ in parsed.elements]
    assert tags == ["html", "head", "meta", "meta", "meta", "meta", "title", "style", "body", "script", "script"]
    assert not [attributes for _, attributes in parsed.elements if any(name.startswith("on") for name in attributes)]


def test_the_policy_allows_the_pages_own_script_and_style_and_no_address(exported: str) -> None:
    parsed = Parsed(exported)
    policy = parsed.elements[3][1]["content"] or ""
    style, data, script = (parsed.texts[index] for index in (7, 9, 10))

    def hashed(text: str) -> str:
        return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    assert f"script-src '{hashed(script)}'" in policy
    assert f"style-src '{hashed(style)}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert not re.search(r"https?://|@import|url\(", script + style)
    assert json.loads(data)["session"] == SESSION


def test_the_page_has_requests_bodies_streams_terminals_and_the_verification(exported: str) -> None:
    data = json.loads(Parsed(exported).texts[9])
    assert [row["verdict"] for row in data["requests"]] == [
        "Allow",
        "Allow",
        "Deny",
        "refused",
        "Allow",
        "RequireApproval",
    ]
    flow = data["requests"][1]["flow"]
    assert "masked-by-pratique" in data["messages"][flow]["response"]["body"]
    assert ["authorization", "**scrubbed**"] in data["messages"][flow]["request"]["headers"]
    assert len(data["streams"][data["requests"][4]["flow"]]["lines"]) == 3
    cast = data["casts"][data["requests"][5]["cast"]]
    assert (cast["width"], cast["height"]) == (60, 12)
    assert cast["events"][0][1:] == ["o", "\x1b[1;32mroot@web\x1b[0m:\x1b[34m/app\x1b[0m# ls\r\n"]
    assert (data["verification"]["ok"], data["verification"]["findings"]) == (True, [])


def empty() -> page.Page:
    return page.Page({"session": SESSION}, ())


def test_what_is_too_large_is_left_out_and_said() -> None:
    assert page.message({"content": b"x" * (page.MAX_BODY + 5)})["left"] == 5
    made = empty()
    made.add_stream(
        "f", [StreamEvent(1.0, b"a\nb\n"), StreamEvent(2.0, b"x" * page.MAX_STREAM), StreamEvent(3.0, b"", "m")]
    )
    assert made.streams["f"]["lines"] == [{"time": 1.0, "text": "a"}, {"time": 1.0, "text": "b"}]
    assert made.streams["f"]["left"] == page.MAX_STREAM
    made.add_cast("c", 80, 24, [Event(1, "o", "x" * page.MAX_CAST), Event(2, "o", "more"), Event(3, "m", "exit 0")])
    assert [event[1] for event in made.casts["c"]["events"]] == ["o", "m"]
    assert made.casts["c"]["left"] == 4


@pytest.mark.parametrize("script", ["</script>", "<!-- x", "a</SCRIPT>"])
def test_a_script_that_would_end_its_element_is_refused(script: str) -> None:
    with pytest.raises(ValueError, match="end its element"):
        page.render(empty(), "", script)


TERMINAL = [
    ("plain", "hello", "hello"),
    ("carriage return", "abc\rX", "Xbc"),
    ("line feed keeps the column", "ab\ncd", "ab\n  cd"),
    ("backspace", "abc\b\bX", "aXc"),
    ("tab", "a\tb", "a       b"),
    ("wraps at the last column", "0123456789X", "0123456789\nX"),
    ("does not wrap when told so", "\x1b[?7l0123456789XY", "012345678Y"),
    ("the last column waits", "0123456789\rX", "X123456789"),
    ("cursor moves", "\x1b[3;4Hx\x1b[Ay\x1b[2Dz", "\n    y\n   x".replace("    y", "   zy")),
    ("erases to the end of the line", "abcdef\x1b[3D\x1b[K", "abc"),
    ("erases the display", "abc\r\ndef\x1b[2J\x1b[Hx", "x"),
    ("inserts and deletes characters", "abcd\x1b[3D\x1b[@X\x1b[P", "aXcd"),
    ("inserts a line", "a\r\nb\x1b[1;1H\x1b[Lx", "x\na\nb"),
    ("deletes a line", "a\r\nb\r\nc\x1b[1;1H\x1b[M", "b\nc"),
    ("scrolls", "1\r\n2\r\n3\r\n4\r\n5", "2\n3\n4\n5"),
    ("a scroll region", "1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3;1H\n!", "1\n3\n!\n4"),
    ("the other screen and back", "main\x1b[?1049hother\x1b[2J\x1b[?1049l!", "main!"),
    ("repeats", "a\x1b[3b", "aaaa"),
    ("line drawing", "\x1b(0lqk\x1b(Bq", "┌─┐q"),
    ("wide characters", "漢字x", "漢字x"),
    ("a wide character at the edge", "012345678漢", "012345678\n漢"),
    ("combining characters", "e\u0301x", "e\u0301x"),
    ("titles, clipboard, questions", "a\x1b]0;t\x07b\x1b]52;c;eA==\x1b\\c\x1b[6nd\x1bPq\x1b\\e", "abcde"),
    ("bidi and C1", "a\u202eb\u009bc", "abc"),
    ("saves and restores", "ab\x1b7cd\x1b8X", "abXd"),
    ("a reset", "abc\x1bcx", "x"),
    ("unknown sequences", "a\x1b[>4;1mb\x1b[?2004hc\x1b#8d\x1b=e", "abcde"),
    ("absurd numbers", "\x1b[999999999;999999999Hx\x1b[999999999A\x1b[999999999Sy", ""),
]  # fmt: skip


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here: the page's terminal was not tried")
def test_the_pages_terminal_shows_what_a_terminal_shows_however_the_text_is_cut() -> None:
    program = """
      const { Terminal } = require(process.argv[1] + "/terminal.js");
      const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
      const shown = cases.map((text) => {
        const whole = new Terminal(10, 4), cut = new Terminal(10, 4);
        whole.feed(text);
        for (let i = 0; i < text.length; i++) cut.feed(text[i]);
        return [whole.text(), cut.text()];
      });
      process.stdout.write(JSON.stringify(shown));
    """
    cases = [text for _, text, _ in TERMINAL]
    done = subprocess.run(
        ["node", "-e", program, str(WEB)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: list[Any] = json.loads(done.stdout)
    wrong = {
        name: (whole, expected)
        for (name, _, expected), (whole, _) in zip(TERMINAL[:-1], results[:-1], strict=True)
        if whole != expected
    }
    assert wrong == {}
    cut = {name: pair for (name, _, _), pair in zip(TERMINAL, results, strict=True) if pair[0] != pair[1]}
    assert cut == {}


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here: the page's clock was not tried")
def test_the_pages_player_cuts_pauses() -> None:
    program = """
      const { compressed, clock } = require(process.argv[1] + "/player.js");
      process.stdout.write(JSON.stringify([compressed([[1], [60], [59], [61]], 2), clock(3725), clock(61.9)]));
    """
    done = subprocess.run(["node", "-e", program, str(WEB)], capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout) == [[1, 3, 3, 4], "1:02:05", "01:01"]
