"""One connection to a Shield, over WebSocket or HTTP, and the requests on it."""
