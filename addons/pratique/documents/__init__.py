"""Documents: the Kubernetes-shaped YAML of a policy folder, read strictly, with positions for every error."""

from pratique.documents.document import API_VERSION, KINDS, Document, Metadata, check_header, parse
from pratique.documents.folder import cases_files, fingerprint, read_folder, read_text

__all__ = [
    "API_VERSION",
    "KINDS",
    "Document",
    "Metadata",
    "cases_files",
    "check_header",
    "fingerprint",
    "parse",
    "read_folder",
    "read_text",
]
