"""The image holds every package that the gateway needs, pinned with its hashes, and none of those for tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATHS = (str(ROOT / "pyproject.toml"), str(ROOT / "scripts" / "constraints.txt"))


@pytest.fixture(scope="module")
def runtime():
    spec = importlib.util.spec_from_file_location("runtime", ROOT / "scripts" / "deploy" / "runtime.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_runs_is_in_and_what_tests_is_not(runtime):
    names = set(runtime.blocks(runtime.main(*PATHS)))
    assert {
        "mitmproxy",
        "mitmproxy-rs",
        "boto3",
        "botocore",
        "kubernetes",
        "cryptography",
        "google-re2",
        "h11",
    } <= names
    assert not {"pytest", "hypothesis", "mypy", "ruff", "hatchling", "import-linter"} & names


def test_every_pin_keeps_its_hashes(runtime):
    text = Path(PATHS[1]).read_text()
    for name, block in runtime.blocks(runtime.main(*PATHS)).items():
        assert block in text, name
        assert "--hash=sha256:" in block, name
        assert block.count("==") >= 1


def test_extras_and_markers_count(runtime):
    assert "pyjwt" not in runtime.needed(["mitmproxy; python_version < '3'"])
    assert runtime.needed(["mitmproxy; python_version < '3'"]) == set()
    plain, extra = runtime.needed(["coverage"]), runtime.needed(["pytest-cov"])
    assert plain == {"coverage"}
    assert {"pytest", "coverage"} <= extra


def test_what_is_not_pinned_or_not_installed_ends_the_build(runtime, tmp_path):
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\ndependencies = ["click"]\n')
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("other==1 \\\n    --hash=sha256:00\n")
    with pytest.raises(SystemExit, match="not pinned: click"):
        runtime.main(str(project), str(constraints))
    with pytest.raises(SystemExit, match="`not-there-at-all` is needed and not installed"):
        runtime.needed(["not-there-at-all"])
