"""Conditions in CEL, by Google's cel-cpp (`cel-expr-python`).

Belongs here: the variables, compiling with errors at their place in the YAML, evaluating. Not here: when a rule's
conditions are asked (`decision.py`). Compiled and type-checked when the policy is loaded. Evaluation has cel-cpp's
iteration budget (10,000 for one condition, 4 ms at most as measured) and RE2; a missing key, a wrong type, an absent
variable or a spent budget is an error, and an error is Deny.

Variables are declared one by one under dotted names, so that `request.verbb` is an error at load. The API version is
not among them: an object has several, and a rule by one of them is a hole in the others.

=======================  ============  ===========================================================================
request.verb             string        get, list, watch, create, update, patch, apply, delete, deletecollection
request.method           string        GET, POST, …
request.apiGroup         string        "" for core
request.resource         string        plural
request.subresource      string        "" for none
request.namespace        string        "" for cluster-scoped or all
request.name             string        "" if unknown; for a create it comes from the body
request.path             string        decoded path
request.patchType        string        json-patch, merge-patch, strategic-merge-patch, apply-patch or ""
request.dryRun           bool          as the server decides it
request.fieldSelector    string        of list, watch and deletecollection
request.labelSelector    string
object                   dyn           what the write makes: body of a create or update, of a patch or apply the
                                       result of the gateway's own dry run; else absent
oldObject                dyn           the live object of an update, patch, apply, delete, eviction or connection (of
                                       `/scale` the Scale); null where there is none; else absent
exec.command             list(string)  absent unless exec (of an attach it is not known)
exec.stdin, exec.tty     bool          absent unless exec or attach, as the next one
exec.container           string        "" for the default one
client.name              string
client.labels            map(string, string)
powers                   list(string)  `powers.py`; `unknown` among them when the template cannot be known
images                   list(string)  of the pod template
=======================  ============  ===========================================================================

A rule that reads `object` of a patch, or `oldObject`, makes the gateway ask the API server before it decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings

from pratique.documents import Document
from pratique.errors import DocumentError
from pratique.policy.powers import Template
from pratique.policy.request import ABSENT, PolicyRequest

_STRING, _BOOL = cel.Type.STRING, cel.Type.BOOL
_STRINGS = cel.Type.List(_STRING)

VARIABLES: dict[str, cel.Type] = {
    "request.verb": _STRING,
    "request.method": _STRING,
    "request.apiGroup": _STRING,
    "request.resource": _STRING,
    "request.subresource": _STRING,
    "request.namespace": _STRING,
    "request.name": _STRING,
    "request.path": _STRING,
    "request.patchType": _STRING,
    "request.dryRun": _BOOL,
    "request.fieldSelector": _STRING,
    "request.labelSelector": _STRING,
    "object": cel.Type.DYN,
    "oldObject": cel.Type.DYN,
    "exec.command": _STRINGS,
    "exec.stdin": _BOOL,
    "exec.tty": _BOOL,
    "exec.container": _STRING,
    "client.name": _STRING,
    "client.labels": cel.Type("map<string,string>"),
    "powers": _STRINGS,
    "images": _STRINGS,
}

_ENVIRONMENT = cel.NewEnv(variables=VARIABLES, extensions=[ext_optional.ExtOptional(), ext_strings.ExtStrings()])
_PLACE = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_STATUS = re.compile(r"\A[A-Z_]+: |\s*\[[A-Z_]+\]\Z")
_QUOTED = re.compile(r"""["']([^"']*)["']""")
_OBJECT = re.compile(r"\bobject\b")
_UNKNOWN = re.compile(r'No value with name "(object|oldObject)" found in Activation')
_TEMPLATE = re.compile(r"\b(powers|images)\b")
_OLD_OBJECT = re.compile(r"\boldObject\b")


class ConditionError(Exception):
    """A condition that has no answer. The text is for the operator and may quote names, never values of a body."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One compiled expression; `place` names it in errors.

    What it reads is told by the words in it, also in a string: a yes too many is safe.
    """

    name: str
    source: str
    place: str
    _evaluate: Callable[[cel.Activation], cel.Value]
    reads_object: bool
    reads_old_object: bool
    reads_template: bool

    def holds(self, activation: cel.Activation) -> bool:
        """Raises ConditionError."""
        try:
            value = self._evaluate(activation)
        except RuntimeError as error:
            raise self._error(error) from error
        if value.type() == cel.Type.ERROR:
            raise self._error(value.value())
        return bool(value.value())  # BOOL: the compiler checked it

    def _error(self, error: object) -> ConditionError:
        """cel-cpp quotes keys and patterns: those that the author did not write come from a body, and are left out."""
        shown = _QUOTED.sub(lambda match: match[0] if match[1] in self.source else "…", _text(error))
        shown = shown.partition("invalid regular expression:")[1] or shown
        return ConditionError(f"condition `{self.name}` ({self.place}): {shown}")


def compile_condition(document: Document, path: tuple[str | int, ...], name: str, source: str) -> Condition:
    """Compiles and type-checks. `path` is that of the expression in the document. Raises DocumentError."""
    try:
        expression = _ENVIRONMENT.compile(source)
    except RuntimeError as error:
        raise _compile_error(document, path, name, source, str(error)) from error
    if expression.return_type() != _BOOL:
        message = f"condition `{name}` is of type {expression.return_type().name().lower()}, not bool"
        raise DocumentError(document.value_position(*path), message, "Compare it with a value, as in `… == true`")
    reads = (word.search(source) is not None for word in (_OBJECT, _OLD_OBJECT, _TEMPLATE))
    return Condition(name, source, str(document.value_position(*path)), _evaluator(expression), *reads)


def _evaluator(expression: cel.Expression) -> Callable[[cel.Activation], cel.Value]:
    def evaluate(activation: cel.Activation) -> cel.Value:
        return expression.eval(activation)

    return evaluate


def _compile_error(document: Document, path: tuple[str | int, ...], name: str, source: str, text: str) -> DocumentError:
    match = _PLACE.search(text)
    if match is None:
        return DocumentError(document.value_position(*path), f"condition `{name}`: {_text(text)}", "Make it shorter")
    position = document.text_position(path, int(match[1]), _start(source, int(match[1]), int(match[2]), match[3]))
    problem = re.sub(r" \(in container ''\)", "", match[3])
    problem = re.sub(r"'([^']*)'", r"`\1`", problem) if "Syntax" not in problem else problem
    problem = problem[:1].lower() + problem[1:]
    return DocumentError(position, f"condition `{name}`: {problem}", _remedy(problem))


def _start(source: str, line: int, column: int, problem: str) -> int:
    """The column where an undeclared name starts: cel-cpp says where its last dot is."""
    named = re.match(r"undeclared reference to '([^']+)'", problem)
    text = source.split("\n")[line - 1] if named and source.count("\n") >= line - 1 else ""
    start = text.rfind(named[1], 0, column - 1 + len(named[1])) if named else -1
    return start + 1 if 0 <= start < column else column


def _remedy(problem: str) -> str:
    if "undeclared reference" in problem:
        return "Known are " + ", ".join(sorted(VARIABLES))
    return "See cel.dev for the language"


def _text(error: object) -> str:
    """cel-cpp's status text on one line, without its code."""
    text = _STATUS.sub("", str(error).split("\n", 1)[0])
    return (
        _UNKNOWN.sub(r"`\1` is not there: this request has none, or only the cluster can tell", _STATUS.sub("", text))
        or "no answer"
    )


def activation(request: PolicyRequest, verb: str, template: Template | None) -> cel.Activation:
    """The variables of one request, for all conditions that are asked about it. `template` None: without its two.

    Raises ConditionError for a body that CEL cannot hold (an integer beyond 64 bits, text that is not UTF-8).
    """
    attributes = request.attributes
    data: dict[str, Any] = {
        "request.verb": verb,
        "request.method": request.method,
        "request.apiGroup": attributes.api_group,
        "request.resource": attributes.resource,
        "request.subresource": attributes.subresource,
        "request.namespace": request.namespace or "",
        "request.name": request.name or "",
        "request.path": attributes.path,
        "request.patchType": request.patch_type,
        "request.dryRun": request.dry_run,
        "request.fieldSelector": attributes.field_selector,
        "request.labelSelector": attributes.label_selector,
        "client.name": request.client,
        "client.labels": dict(request.client_labels),
    }
    if template is not None:
        data["powers"], data["images"] = sorted(template.powers), sorted(template.images)
    if request.object is not None:
        data["object"] = request.object
    if request.old_object is not ABSENT:
        data["oldObject"] = request.old_object
    elif request.creates_in_collection:
        data["oldObject"] = None
    if request.exec is not None:
        if request.exec.command is not None:
            data["exec.command"] = list(request.exec.command)
        data["exec.stdin"] = request.exec.stdin
        data["exec.tty"] = request.exec.tty
        data["exec.container"] = request.exec.container
    try:
        return _ENVIRONMENT.Activation(data)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConditionError(f"request cannot be given to conditions: {_text(error)}") from error
