"""The pins of constraints.txt that the gateway needs at run time, without those for tests and checks.

`python runtime.py pyproject.toml constraints.txt` in an environment where all of them are installed: what a package needs is
in its metadata.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==")


def needed(requirements: list[str]) -> set[str]:
    """Canonical names of what `requirements` need, themselves included, in this environment."""
    found: set[str] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name not in found:
            found.add(name)
            waiting += [(each, "") for each in _requires(name)]
        waiting += [(each, extra) for extra in requirement.extras for each in _requires(name) if each.marker]
    return found


def _requires(name: str) -> list[Requirement]:
    try:
        return [Requirement(text) for text in distribution(name).requires or []]
    except PackageNotFoundError:
        raise SystemExit(f"runtime.py: `{name}` is needed and not installed. Install all of constraints.txt") from None


def blocks(constraints: str) -> dict[str, str]:
    """Each pin with the hashes that follow it, by canonical name."""
    found: dict[str, str] = {}
    name = ""
    for line in constraints.splitlines(keepends=True):
        pin = _PIN.match(line)
        if pin:
            name = canonicalize_name(pin["name"])
        if name and line.strip() and not line.startswith("#"):
            found[name] = found.get(name, "") + line
    return found


def main(project: str, constraints: str) -> str:
    dependencies = tomllib.loads(Path(project).read_text())["project"]["dependencies"]
    pins = blocks(Path(constraints).read_text())
    names = needed(dependencies)
    missing = sorted(names - set(pins))
    if missing:
        raise SystemExit(f"runtime.py: not pinned: {', '.join(missing)}. Add them to constraints.txt")
    return "".join(pins[name] for name in sorted(names))


if __name__ == "__main__":
    sys.stdout.write(main(*sys.argv[1:3]))
