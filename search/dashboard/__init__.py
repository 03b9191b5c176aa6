"""The dashboard: studies in a browser, while they run and after. Reads what a search wrote; needs no torch."""
