"""Verifies messages against transparency logs; only `connect(proof=…)` loads this package."""
