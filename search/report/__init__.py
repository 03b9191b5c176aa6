"""Tables and pictures: terminal, HTML, PNG; without torch."""
