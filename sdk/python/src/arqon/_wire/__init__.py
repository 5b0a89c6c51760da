"""Frames as bytes and as values, and their strict decoding."""
