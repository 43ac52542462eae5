"""The habits of the house, as tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pratique.settings import OPTIONS

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for path in (ROOT / "addons").rglob("*.py"))
MAX_LINES = 400
MAY_IMPORT_MITMPROXY = {
    "gateway.py",
    "scripted.py",
    "bundle.py",
    "settings.py",
    "exchange.py",
    "cli/run.py",
    "cli/web.py",
    "launcher/connection.py",
    "launcher/dispatch.py",
    "launcher/master.py",
    "launcher/messages.py",
    "interlock/connections.py",
    "interlock/early.py",
    "interlock/held.py",
    "interlock/going_away.py",
    "interlock/http2.py",
    "interlock/layers.py",
    "interlock/opening.py",
    "interlock/refusals.py",
    "interlock/together.py",
    "interlock/tunnel.py",
    "interlock/upstream.py",
}
TOP_LEVEL = {"pyproject.toml", "addons", "policies", "scripts", "tests", "README.md", "LICENSE"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_only_hooks_and_the_launcher_import_mitmproxy() -> None:
    found = {
        str(path.relative_to(ROOT / "addons")).removeprefix("pratique/")
        for path in SOURCES
        if "mitmproxy" in _imports(path)
    }
    assert {name for name in found if not name.endswith("/addon.py")} <= MAY_IMPORT_MITMPROXY


def test_pure_modules_import_no_clock_socket_or_file() -> None:
    """Pure is every module of the rooms that does not say `I/O` in its first line and is no hook."""
    rooms = ("kube", "tunnel", "policy", "masking", "identity", "approvals", "recorder", "documents")
    banned = {"asyncio", "boto3", "botocore", "socket", "sqlite3", "subprocess", "mitmproxy", "logging", "time"}
    guilty = []
    for path in SOURCES:
        parts = path.relative_to(ROOT / "addons" / "pratique").parts if "pratique" in path.parts else ()
        if not parts or parts[0] not in rooms or path.name == "addon.py":
            continue
        says_io = path.read_text().startswith('"""I/O')
        if not says_io and _imports(path) & banned:
            guilty.append((str(path), sorted(_imports(path) & banned)))
    assert guilty == []


def test_the_readme_lists_every_option_with_its_default() -> None:
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `pratique_")]
    assert [row.split("`")[1] for row in rows] == [setting.name for setting in OPTIONS]
    for row, setting in zip(rows, OPTIONS, strict=True):
        default = (
            str(setting.default).lower() if isinstance(setting.default, bool) else str(setting.default) or "(empty)"
        )
        assert row.split("|")[2].strip() == default


def test_every_option_can_be_given_on_the_command_line() -> None:
    """`--set NAME=VALUE` of mitmproxy 12.2 knows these types only; with any other the process ends with a traceback."""
    assert {setting.typespec for setting in OPTIONS} <= {str, int, bool}


def test_the_top_level_stays_as_it_is() -> None:
    visible = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert visible <= TOP_LEVEL


def test_gateway_py_has_no_logic() -> None:
    tree = ast.parse((ROOT / "addons" / "gateway.py").read_text())
    assert all(isinstance(node, ast.Expr | ast.ImportFrom | ast.Assign) for node in tree.body)
