"""What a room remembers: its values, in order and without holes, and locks."""
