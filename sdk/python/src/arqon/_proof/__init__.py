"""Verification of messages against transparency logs; only what `connect(proof=…)` loads."""
