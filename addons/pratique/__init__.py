"""pratique: a gateway between AI agents and Kubernetes API servers, as a bundle of mitmproxy addons."""

__version__ = "0.1.0"
