"""The dashboard: a study on disk as pages in a browser. Needs no torch."""
