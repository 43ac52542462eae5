"""Identity: who calls the gateway, and as whom the gateway calls the cluster.

`clients` authenticates, `strip` takes what the client sent, `gate` alone writes what goes upstream; `clusters` says
which cluster, `credentials` and its sources have the credential. Does not import policy, approvals, masking or
recorder.
"""
