"""Figures from the engine's values, one module a subject. They know Plotly and neither models nor pages.

``candidates`` draws an answer, ``comparison`` the whole vocabulary in two models, ``insight`` erasure, layers and
attention, ``runs`` several runs over each other, ``lessons`` small pictures without Plotly; ``palette`` serves all.
"""
