"""Subscriptions: rooms, their loops, positions in durable rooms."""
