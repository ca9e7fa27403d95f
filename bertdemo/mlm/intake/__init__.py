"""From the bytes of a file to a table of texts: encoding, delimiter, header, records, columns. Knows no model."""
