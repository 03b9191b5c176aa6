"""Tables, plots and pages: terminal, HTML, Markdown, PNG. Needs no torch."""
