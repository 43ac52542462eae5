"""I/O: reads a policy folder from disk.

Belongs here: which files count, what cannot be read, the fingerprint by which a change is noticed. Not here: what is
in them. Sub-folders are not read; one that holds YAML is an error, because a rule in it would silently not apply.
"""

from __future__ import annotations

from pathlib import Path

from pratique.documents.document import Document, parse
from pratique.errors import DocumentError, DocumentErrors, Position

SUFFIXES = (".yaml", ".yml")
CASES_SUFFIXES = (".cases.yaml", ".cases.yml")

type Fingerprint = tuple[tuple[str, int, int, int], ...]


def read_folder(path: str | Path) -> list[Document]:
    """Every document of the `*.yaml` and `*.yml` files of a folder, by file name; cases and hidden files are left out.

    Raises DocumentErrors: all errors of all files (folder missing or empty, file unreadable or not UTF-8, not YAML, bad
    header, one kind and name twice).
    """
    return read_files(_files(Path(path)))


def read_files(files: list[Path]) -> list[Document]:
    """Every document of the files. Raises DocumentErrors, as `read_folder`."""
    documents: list[Document] = []
    errors: list[DocumentError] = []
    for file in files:
        try:
            documents += parse(read_text(file), str(file))
        except DocumentErrors as error:
            errors += error.errors
    errors += duplicates(documents)
    if errors:
        raise DocumentErrors(errors)
    return documents


def read_text(file: Path) -> str:
    """The text of a file. Raises DocumentErrors if it cannot be read or is not UTF-8."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _refusal(file, f"file cannot be read: {error.strerror or error}", "Check its permissions") from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        position = Position(str(file), line, column)
        raise DocumentErrors([DocumentError(position, "file is not UTF-8", "Save it as UTF-8")]) from error


def duplicates(documents: list[Document]) -> list[DocumentError]:
    """An error for each document whose kind and name another one before it has."""
    errors: list[DocumentError] = []
    first: dict[tuple[str, str], Document] = {}
    for document in documents:
        other = first.setdefault((document.kind, document.name), document)
        if other is not document:
            message = f"{document.kind} `{document.name}` stands twice, first at {other.position()}"
            errors.append(document.error(("metadata", "name"), message, "Rename or remove one of them"))
    return errors


def cases_files(path: str | Path) -> list[Path]:
    """The `*.cases.yaml` files of a folder, sorted. Raises DocumentErrors if the folder cannot be read."""
    return [file for file in _entries(Path(path)) if file.name.endswith(CASES_SUFFIXES)]


def fingerprint(path: str | Path) -> Fingerprint:
    """Names, mtimes (ns), sizes and inodes of the files that `read_folder` reads: differs when one was changed.

    A file that cannot be looked at counts as size -1. Raises DocumentErrors if the folder cannot be read.
    """
    return tuple(_stamp(file) for file in _entries(Path(path)) if not file.name.endswith(CASES_SUFFIXES))


def _stamp(file: Path) -> tuple[str, int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return (file.name, 0, -1, 0)
    return (file.name, status.st_mtime_ns, status.st_size, status.st_ino)


def _files(folder: Path) -> list[Path]:
    nested = [_nested(entry) for entry in sorted(folder.iterdir()) if _holds_yaml(entry)] if folder.is_dir() else []
    if nested:
        raise DocumentErrors(nested)
    files = [file for file in _entries(folder) if not file.name.endswith(CASES_SUFFIXES)]
    if not files:
        raise _refusal(folder, "folder holds no `*.yaml` file", "Put a policy there, or name another folder")
    return files


def _holds_yaml(entry: Path) -> bool:
    """True for a visible sub-folder with a YAML file in it (a ConfigMap mount keeps its copies in hidden ones)."""
    if entry.name.startswith(".") or not entry.is_dir():
        return False
    return any(file.name.endswith(SUFFIXES) for file in entry.iterdir())


def _nested(folder: Path) -> DocumentError:
    return DocumentError(
        Position(str(folder)), "sub-folder with documents is not read", "Move its files up, or the folder elsewhere"
    )


def _entries(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        message = f"folder cannot be read: {error.strerror or error}"
        raise _refusal(folder, message, "Check the path and its permissions") from error
    return [entry for entry in entries if entry.name.endswith(SUFFIXES) and not entry.name.startswith(".")]


def _refusal(path: Path, message: str, remedy: str) -> DocumentErrors:
    return DocumentErrors([DocumentError(Position(str(path)), message, remedy)])
