"""The connection over all its sessions: reconnects and moves to another node."""
