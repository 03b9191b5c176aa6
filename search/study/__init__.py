"""Studies: database, settings history, trial table, repeated seeds, confirmation, selection; without torch."""
