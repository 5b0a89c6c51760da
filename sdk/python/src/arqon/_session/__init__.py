"""One WebSocket and what opens, keeps and ends it."""
