"""Opens, keeps and ends one WebSocket."""
