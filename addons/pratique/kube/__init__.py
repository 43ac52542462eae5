"""The Kubernetes wire, pure: request attributes, canonical form, Status bodies, objects in a response, stream framing."""
