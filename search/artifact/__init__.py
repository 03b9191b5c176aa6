"""Reads an export and runs it."""
