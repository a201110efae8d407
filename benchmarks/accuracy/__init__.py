"""How well kenpin tells wrong parts and defects on the data sets that are here."""
