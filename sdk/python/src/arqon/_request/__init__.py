"""Sends publishes and commands to the bus."""
