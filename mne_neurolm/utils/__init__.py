"""Helpers shared by the other modules; nothing here is public."""
