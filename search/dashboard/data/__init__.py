"""What the dashboard reads of a study, as frames of plain columns; no figures here."""
