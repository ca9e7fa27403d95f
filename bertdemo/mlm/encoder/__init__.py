"""What an encoder's pass is made of: its parts, rows without padding, attention, products."""
