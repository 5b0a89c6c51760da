"""Publishes and commands on their way to the bus."""
