"""Masked language modelling: values in, values out. Knows no web page, no chart and no terminal."""
