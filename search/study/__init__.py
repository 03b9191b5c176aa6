"""The record: the database, the trials' states, tables, repeated seeds, confirmation; without torch."""
