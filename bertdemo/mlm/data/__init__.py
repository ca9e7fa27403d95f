"""A file becomes texts: encoding, dialect, table, the column that is the text, cleaning, and the split."""
