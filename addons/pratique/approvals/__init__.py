"""Approvals: the queue of questions to reviewers, each about exactly one request.

The question: `question` (what is asked), `fingerprint` (what it is bound to), `claims` (what its client says of itself),
`words`, `risks`, `difference`, `effects` and `foreseeing` (what it would do). The queue: `transitions` (the life of an
approval), `grants`, `store` (where it is kept; `sqlite_*` are one), `waiting`, `queue`, `holding`, `answers` (what the
client is told). The decision: `reviewers` (who), `deciding` (the rule's terms), `desk` (what they see and do), `admin` (page
and HTTP API). Telling others: `webhooks`, `notifying`. Does not import identity, policy, masking or recorder.
"""
