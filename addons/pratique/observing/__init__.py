"""What operators see: whether the gateway is ready, its metrics, and its log as JSON. Decides nothing."""
