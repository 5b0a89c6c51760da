"""The state of a room: its values, the repair of missed changes, and locks."""
