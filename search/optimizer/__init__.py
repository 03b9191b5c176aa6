"""Which configuration is next and which trial is promoted: plain values, no Ray, no networks."""
