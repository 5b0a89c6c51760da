"""Back-off, durations, timeouts, and the Shield's clock."""
