"""The embedded cluster: an API server, STS and EKS token check on loopback, for demos, tests, offline policy work.

This is not a Kubernetes and never for production: one process, everything in memory, no etcd, no scheduler, no
kubelet, no admission; every authenticated caller may do everything; exec runs a local process with the rights of
whoever started the sandbox. It answers as kube-apiserver 1.34 does where kubectl, client-go and the Python client
can tell the difference.

The sandbox plays the other side of the gateway, so it shares no code with `pratique.kube`, `identity` or `policy`:
a mistake made twice would hide itself. Import `Sandbox` and `SandboxInfo` from `pratique.sandbox.cluster`.
"""
