"""Secrets in command lines and free text: what is replaced before it is stored.

Belongs here: the patterns of tokens, the options and variables that carry secrets, shell lines. Pure. This is a net
with holes, and known as such (an encoded or invented form passes): exec is a question for the policy, this only keeps
the usual slips out of recordings. Every pattern is anchored on a literal and has bounded repeats, so time is linear.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

SCRUBBED = "**scrubbed**"
"""Stands for a value that was not stored. A constant: neither length nor hash of the value can be read from it."""

MAX_ARGUMENT = 64 * 1024
"""Characters of an argument or text that are examined; what follows is replaced as a whole."""

MAX_SHELL_DEPTH = 3
"""`sh -c "sh -c '…'"`: deeper quoting is replaced as a whole."""

_WORDS = (
    r"pass(?:word|wd|phrase|code)|passwd|pwd|secret|token|api[-_.]?key|apikey|access[-_.]?key|private[-_.]?key"
    r"|client[-_.]?key[-_.]?data|credentials?|authorization|auth[-_.]?(?:key|token)|x-amz-signature|signature|sas|otp"
)
_SECRET_NAME = re.compile(rf"(?i){_WORDS}|(?:^|[-_.])(?:pass|auth|creds?|pw|pin)$")
_HARMLESS_NAME = re.compile(r"(?i)(?:file|path|dir|name|ttl|type|url|uri|length|policy|id|expiry|mode|format)$")

_TOKENS = re.compile(
    r"""eyJ[\w-]{8,}(?:\.[\w-]{4,}){1,4}"""  # JWT, JWE
    r"""|k8s-aws-v1\.[\w-]+"""
    r"""|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"""
    r"""|\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|sk-|sk_live_|rk_live_|hv[sbr]\.|npm_|dop_v1_|AIza)[\w.-]{12,}"""
    r"""|-----BEGIN[A-Z ]{0,40}PRIVATE\ KEY-----(?s:.*?)(?:-----END[A-Z ]{0,40}-----|\Z)""",
    re.VERBOSE,
)
_SCHEME = re.compile(r"(?i)\b(bearer|basic|digest|negotiate|token)(\s{1,8})(?!realm=)[\w.~+/=:-]{6,}")
_URL = re.compile(r"(://[^/\s:@'\"]{0,256}:)[^@\s/'\"]{1,4096}@")
_HEADER = re.compile(
    r"(?i)((?:proxy-)?authorization|cookie|x-api-key|x-auth-token|x-vault-token|private-token|x-amz-security-token)"
    r"(\"?\s{0,8}[:=]\s{0,8}\"?)[^\r\n\"']{1,8192}"
)
_ASSIGNMENT = re.compile(
    rf"(?i)((?:{_WORDS})(?![\w.-]{{0,64}}(?:file|path|name))[\w.-]{{0,64}}[\"']?\s{{0,4}}[:=]\s{{0,4}})"
    r"(\"[^\"]{1,8192}\"?|'[^']{1,8192}'?|[^\s&;,\"'|)}\]]{1,8192})"
)
_SHORT_WORD = re.compile(r"[\w./-]{0,11}")
"""Matches no pattern above: each needs 12 characters, or a space, colon or equals sign."""
_PASS_ARGUMENT = re.compile(r"(?i)^(pass|env|key):.{1,}", re.DOTALL)  # openssl -passin pass:…

_USER_PASSWORD = re.compile(r"^([^:\s]{0,256}):.{1,}", re.DOTALL)

_SHORT: dict[str, frozenset[str]] = {
    "-p": frozenset({"mysql", "mysqldump", "mysqladmin", "mysqlsh", "mysqlimport", "mariadb", "mariadb-dump", "mongo",
                     "mongosh", "mongodump", "mongorestore", "sshpass", "docker", "podman", "helm", "kinit",
                     "mosquitto_pub", "mosquitto_sub", "az", "oc", "rabbitmqadmin", "cqlsh"}),
    "-P": frozenset({"sqlcmd", "bcp", "mosquitto_pub", "mosquitto_sub", "zip", "unzip", "7z", "ipmitool"}),
    "-a": frozenset({"redis-cli", "valkey-cli", "redis-benchmark", "keydb-cli"}),
    "-w": frozenset({"ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldapwhoami", "ldappasswd"}),
    "-y": frozenset({"az"}),
    "-k": frozenset({"openssl", "aws"}),
    "-K": frozenset({"openssl"}),
}  # fmt: skip
"""Options of one letter that carry a secret, by program; attached (`-pX`) or as the next argument."""

_USER_OPTIONS = frozenset({"-u", "--user", "-U", "--proxy-user"})
_PROGRAMS_WITH_USER = frozenset({"curl", "smbclient", "http", "https", "wget", "rabbitmqadmin", "cqlsh"})
_HEADER_OPTIONS = frozenset({"-H", "--header", "--proxy-header"})
_BARE_P = re.compile(r"-p(?=.*[^0-9:/.])[^-].*", re.DOTALL)
_LONG_P = frozenset({"-pass", "-passin", "-passout", "-password", "-passwd", "-passphrase", "-pin"})
_HARMLESS_P = frozenset({"cp", "mkdir", "tar", "ps", "rm", "ssh", "scp", "nc", "lsof", "install", "touch", "rsync",
                         "pgrep", "top", "kill", "python", "python3", "perl", "grep", "ls", "find"})  # fmt: skip

_SPLIT = re.compile(r"""\s+|&&|\|\||[;|&(){}<>`]|(?:"(?:\\.|[^"\\])*"?|'[^']*'?|\\.|[^\s"'\\;|&(){}<>`])+""", re.DOTALL)
_SEPARATORS = frozenset({"&&", "||", ";", "|", "&", "(", ")", "{", "}", "`"})
_PREFIXES = frozenset({"sudo", "env", "exec", "nohup", "time", "command", "xargs", "timeout", "nice", "then", "do",
                       "else", "if", "while", "!"})  # fmt: skip


def is_secret_name(name: str) -> bool:
    """Whether an option, variable or field of this name carries a secret (`PGPASSWORD`, not `--token-file`)."""
    return _SECRET_NAME.search(name) is not None and _HARMLESS_NAME.search(name) is None


def scrub_text(text: str) -> str:
    """`text` with tokens, private keys, credentials of URLs, authorization values and `password=…` replaced."""
    if _SHORT_WORD.fullmatch(text):
        return text
    head, rest = text[:MAX_ARGUMENT], text[MAX_ARGUMENT:]
    head = _TOKENS.sub(SCRUBBED, head)
    head = _URL.sub(rf"\g<1>{SCRUBBED}@", head)
    head = _HEADER.sub(rf"\g<1>\g<2>{SCRUBBED}", head)
    head = _SCHEME.sub(rf"\g<1>\g<2>{SCRUBBED}", head)
    head = _ASSIGNMENT.sub(rf"\g<1>{SCRUBBED}", head)
    return head + SCRUBBED if rest else head


def _program(argument: str) -> str:
    return argument.rpartition("/")[2]


def scrub_argv(argv: Sequence[str]) -> list[str]:
    """The arguments of one command with secrets replaced; same length and order. Shell lines are looked into."""
    return _scrub(argv, 0)


def _scrub(argv: Sequence[str], depth: int) -> list[str]:
    result: list[str] = []
    program = ""
    pending = ""
    for argument in argv:
        if argument in _SEPARATORS:
            program = pending = ""
        if pending and not (argument.startswith("-") and pending != "value"):
            result.append(_follow(pending, argument, depth))
            pending = ""
            continue
        if not program and not _is_prefix(argument):
            program = _program(argument)
        stored = _alone(program, argument, depth)
        pending = _expects(program, argument) if stored == argument else ""
        result.append(stored)
    return result


def _is_prefix(argument: str) -> bool:
    return argument in _SEPARATORS or argument in _PREFIXES or argument.startswith("-") or "=" in argument


def _expects(program: str, argument: str) -> str:
    """What the next argument is: a secret `value`, perhaps one (`maybe`), `user`:password, a `header`, or nothing."""
    if argument in _HEADER_OPTIONS:
        return "header"
    if argument in _USER_OPTIONS and program in _PROGRAMS_WITH_USER:
        return "user"
    if program in _SHORT.get(argument, ()):
        # mysql -p asks at the terminal when nothing is attached: what follows is the database
        return "" if program.startswith(("mysql", "mariadb")) else "value"
    if argument.startswith("-") and "=" not in argument and is_secret_name(argument.lstrip("-")):
        return "maybe"
    return ""


def _follow(pending: str, argument: str, depth: int) -> str:
    if pending == "user":
        return _USER_PASSWORD.sub(rf"\g<1>:{SCRUBBED}", argument)
    if pending == "header":
        return _header(argument)
    if argument[:1] in {"$", "|", ";"}:  # a variable is no value
        return _alone("", argument, depth)
    return SCRUBBED


def _header(argument: str) -> str:
    name, colon, _ = argument.partition(":")
    if colon and (is_secret_name(name) or name.strip().lower() in {"cookie", "x-api-key"}):
        return f"{name}: {SCRUBBED}"
    return scrub_text(argument)


def _alone(program: str, argument: str, depth: int) -> str:
    """One argument that is not the value of the one before."""
    option = argument[:2]
    if argument in _SEPARATORS or argument in _LONG_P:
        return argument
    if len(argument) > 2 and program in _SHORT.get(option, ()):
        return option + SCRUBBED
    if len(argument) > 2 and option in _USER_OPTIONS and program in _PROGRAMS_WITH_USER:
        return option + _USER_PASSWORD.sub(rf"\g<1>:{SCRUBBED}", argument[2:])
    if program not in _HARMLESS_P and _BARE_P.fullmatch(argument):
        return "-p" + SCRUBBED
    name, equals, value = argument.partition("=")
    if equals and value and not re.search(r"\s", name) and is_secret_name(name.lstrip("-")):
        return f"{name}={SCRUBBED}" if not value.startswith("$") else argument
    if equals and name.lstrip("-") == "from-literal" and "=" in value:
        return f"{name}={value.partition('=')[0]}={SCRUBBED}"
    if _PASS_ARGUMENT.match(argument) and program == "openssl":
        return f"{argument.partition(':')[0]}:{SCRUBBED}"
    if re.search(r"[\s;|&`]", argument):
        return _shell(argument, depth)
    return scrub_text(argument)


def _shell(line: str, depth: int) -> str:
    """A shell line: its words are scrubbed as an argv, quoted words as lines of their own; the rest stays."""
    if depth == MAX_SHELL_DEPTH or len(line) > MAX_ARGUMENT:
        return SCRUBBED
    pieces = _SPLIT.findall(line)
    words = [index for index, piece in enumerate(pieces) if not piece.isspace()]
    bare = [_unquote(pieces[index]) for index in words]
    for index, before, after in zip(words, bare, _scrub(bare, depth + 1), strict=True):
        if after != before:
            quote = pieces[index][0] if pieces[index][0] in "\"'" else ""
            pieces[index] = f"{quote}{after}{quote}"
    return scrub_text("".join(pieces))


def _unquote(word: str) -> str:
    if word[0] in "\"'" and len(word) > 1 and word[-1] == word[0] and word[0] not in word[1:-1]:
        return word[1:-1]
    return re.sub(r"[\"']", "", word)
