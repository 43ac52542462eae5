"""Container logs: lines in memory, what `GET .../log` shows of them, and who follows.

Pure but for subscribers. Lines carry their time, so `timestamps`, `sinceTime` and `tailLines` work as on a kubelet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pratique.sandbox import status
from pratique.sandbox.query import Query

JSON = dict[str, Any]
Place = tuple[str, str, str]  # namespace, pod, container

MAX_LINES = 5000  # per container; older lines go, as when a kubelet rotates


@dataclass(frozen=True, slots=True)
class Line:
    time: float
    text: str

    def render(self, *, timestamps: bool) -> bytes:
        stamp = datetime.fromtimestamp(self.time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ ") if timestamps else ""
        return f"{stamp}{self.text}\n".encode()


class Logs:
    def __init__(self) -> None:
        self._lines: dict[Place, list[Line]] = defaultdict(list)
        self._followers: dict[Place, list[Callable[[Line], None]]] = defaultdict(list)

    def append(self, place: Place, line: Line) -> None:
        lines = self._lines[place]
        lines.append(line)
        del lines[:-MAX_LINES]
        for follower in list(self._followers[place]):
            follower(line)

    def lines(self, place: Place) -> list[Line]:
        return list(self._lines[place])

    def places(self) -> list[Place]:
        return list(self._lines)

    def follow(self, place: Place, follower: Callable[[Line], None]) -> Callable[[], None]:
        self._followers[place].append(follower)
        return lambda: self._followers[place].remove(follower)

    def forget(self, namespace: str, pod: str) -> None:
        for place in [place for place in self._lines if place[:2] == (namespace, pod)]:
            del self._lines[place]


def container_of(pod: JSON, asked: str) -> str:
    """The container that a log, exec or attach request means; 400 when that is unclear or wrong."""
    name = pod["metadata"]["name"]
    spec = pod["spec"]
    kinds = ("containers", "initContainers", "ephemeralContainers")
    names = [item["name"] for kind in kinds for item in spec.get(kind) or []]
    if asked:
        if asked not in names:
            raise status.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    marked = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if marked in names:
        return str(marked)
    if len(spec["containers"]) > 1:
        listed = " ".join(item["name"] for item in spec["containers"])
        raise status.bad_request(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
    return str(spec["containers"][0]["name"])


def selected(lines: list[Line], query: Query, now: float) -> list[Line]:
    """The lines that the options ask for (`limitBytes` is the caller's)."""
    if since := query.number("sinceSeconds"):
        lines = [line for line in lines if line.time >= now - since]
    if text := query.first("sinceTime"):
        lines = [line for line in lines if line.time >= _instant(text)]
    tail = query.number("tailLines")
    if tail is not None:
        if tail < 0:
            raise status.StatusError(422, "Invalid", "tailLines: Invalid value: must be greater than or equal to 0")
        lines = lines[len(lines) - min(tail, len(lines)) :]
    return lines


def _instant(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise status.bad_request(f"unable to decode query parameter `sinceTime`: parsing time `{text}`") from error
