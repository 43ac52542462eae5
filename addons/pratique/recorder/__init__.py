"""The recorder: what every session did, replayable, tamper-evident, free of secrets.

Belongs here: flow files, casts, scrubbing, the hash chain, the index, exports. Not here: what was decided
(`pratique.policy`) or masked (`pratique.masking`): both reach this room as plain values. Only `addon` imports
mitmproxy.
"""
