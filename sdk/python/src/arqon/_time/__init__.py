"""Time: waits between attempts, durations, deadlines, the clock of the Shield."""
