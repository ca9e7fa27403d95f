"""Figures from the engine's values, one module a subject. They know Plotly and neither models nor pages."""
