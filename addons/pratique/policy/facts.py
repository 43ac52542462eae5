"""What is found out about one request, once, for all the rules that ask.

Belongs here: the pod template, the escalations, the variables of conditions, each made when the first rule asks. Not
here: the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pratique.policy import escalation
from pratique.policy.conditions import Condition, activation
from pratique.policy.powers import Template, template_of
from pratique.policy.request import APPLY_PATCH, PolicyRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pratique.policy.escalation import Escalation


class Facts:
    """Of one request."""

    __slots__ = ("_activations", "_template", "escalations", "request")

    def __init__(self, request: PolicyRequest) -> None:
        self.request = request
        self.escalations: frozenset[Escalation] = escalation.by_content(request)
        self._template: Template | None = None
        self._activations: dict[bool, object] = {}  # with the template (a walk over the whole body) or without

    @property
    def template(self) -> Template:
        if self._template is None:
            self._template = template_of(self.request)
        return self._template

    def refused_by(self, conditions: Sequence[Condition]) -> str:
        """The first condition that is false; "" if all hold. Raises ConditionError."""
        for condition in conditions:
            if not self.holds(condition):
                return f"condition `{condition.name}` is false"
        return ""

    def holds(self, condition: Condition) -> bool:
        """Raises ConditionError."""
        return condition.holds(self._activation(with_template=condition.reads_template))

    def _activation(self, *, with_template: bool) -> object:
        found = self._activations.get(with_template)
        if found is None:
            applies = self.request.patch_type == APPLY_PATCH and self.request.attributes.verb == "patch"
            verb = "apply" if applies else self.request.attributes.verb
            found = activation(self.request, verb, self.template if with_template else None)
            self._activations[with_template] = found
        return found
