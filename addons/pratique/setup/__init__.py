"""What an installation on EKS needs, made, shown and taken back: `scripts/setup`.

Belongs here: what is wanted (`wanted`, `rights`), the plan by which it comes about (`plan`), AWS (`aws`), the cluster
(`cluster`), the files of clients (`files`), the command (`__main__`). Not here: the gateway itself, which uses none of it.
"""
