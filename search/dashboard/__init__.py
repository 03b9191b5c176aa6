"""Web dashboard (Dash) of studies, live while they run. Reads the study's files only; needs no torch."""
