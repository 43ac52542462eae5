"""Times in a query, as Go reads them; the texts are those of Go 1.26's `time.Parse` (format.go, format_rfc3339.go)."""

from __future__ import annotations

import pytest

from pratique.kube.times import TimeError, check_time


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05Z",
        "2026-01-02T3:04:05Z",
        "2026-01-02T03:04:05.5Z",
        "2026-01-02T03:04:05,123456789+24:60",
        "2024-02-29T00:00:00-01:00",
        "0000-02-29T00:00:00Z",
    ],
)
def test_times_that_go_takes(text: str) -> None:
    check_time(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", 'parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006"'),
        ("2026/01", 'parsing time "2026/01" as "2006-01-02T15:04:05Z07:00": cannot parse "/01" as "-"'),
        ("2026-13-02T03:04:05Z", 'parsing time "2026-13-02T03:04:05Z": month out of range'),
        ("2026-02-29T03:04:05Z", 'parsing time "2026-02-29T03:04:05Z": day out of range'),
        ("2026-01-02T03:04:05Zx", 'parsing time "2026-01-02T03:04:05Zx": extra text: "x"'),
        ("2026-01-02T03:04:05+25:00", 'parsing time "2026-01-02T03:04:05+25:00": time zone offset hour out of range'),
        ("2026-01-02T03:04:05+01:61", 'parsing time "2026-01-02T03:04:05+01:61": time zone offset minute out of range'),
        (
            "2026-01-02T03:04:05*01:00",
            'parsing time "2026-01-02T03:04:05*01:00" as "2006-01-02T15:04:05Z07:00": cannot parse "*01:00" as "Z07:00"',
        ),
        ('"\\\n', 'parsing time "\\"\\\\\\x0a" as "2006-01-02T15:04:05Z07:00": cannot parse "\\"\\\\\\x0a" as "2006"'),
    ],
)
def test_times_that_go_refuses_in_its_words(text: str, why: str) -> None:
    with pytest.raises(TimeError) as caught:
        check_time(text)
    assert str(caught.value) == why
