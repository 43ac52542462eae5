"""What the HTTP API of the playground is sent. Pure."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pratique.approvals.admin.views import Input

MAX_TEXT = 512 * 1024
"""Characters of each field: a policy has a few thousand, a list of pods some hundred thousand."""

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class TryInput(Input, frozen=True):
    """What was typed. `policy` stands in for the documents of its names, `alone`: for all others of their kinds, too."""

    request: Text
    policy: Text = ""
    client: Annotated[str, msgspec.Meta(max_length=253)] = ""
    answer: Text = ""
    alone: bool = False
