"""Approvals: the queue of questions to reviewers, each about exactly one request.

`transitions` is the life of an approval, `fingerprint` what it is bound to, `store` where it is kept, `waiting` how a
held request learns of a decision, `answers` what the client is told. Does not import identity, policy, masking or
recorder.
"""
