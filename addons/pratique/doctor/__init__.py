"""What is wrong between a gateway and its cluster, step by step: `pratique doctor`.

Belongs here: the steps and their order (`examine`), what each answer means (`findings`), what a client must not reach
(`around`), the calls (`probes`). Not here: printing (`pratique.cli.doctor`).
"""
