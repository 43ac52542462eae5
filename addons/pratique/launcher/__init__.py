"""How the service form runs: mitmproxy's master with less around it, the same semantics, and several of it side by side."""
