"""Data layer of the dashboard: studies and trials as pandas data frames."""
