"""Ratios, changes and bits as the views write them."""

from __future__ import annotations


def times(log2_ratio: float | None) -> str:
    """How many times as probable, from a log2 ratio.

    >>> times(1.0), times(-3.0), times(0.0), times(40.0), times(None)
    ('× 2.0', '÷ 8.0', 'the same', '× over a million', '–')
    """
    if log2_ratio is None:
        return "–"
    if log2_ratio == 0:
        return "the same"
    sign, size = ("×" if log2_ratio > 0 else "÷"), abs(log2_ratio)
    if size > 20:
        return f"{sign} over a million"
    factor = 2.0**size
    return f"{sign} {factor:.1f}" if factor < 9.95 else f"{sign} {factor:,.0f}"


def signed(number: float | None, *, places: int) -> str:
    """A number with its sign; exactly nothing is "0".

    >>> signed(1.234, places=2), signed(-0.5, places=2), signed(0.0, places=2), signed(None, places=2)
    ('+1.23', '−0.50', '0', '–')
    """
    if number is None:
        return "–"
    return "0" if number == 0 else f"{number:+.{places}f}".replace("-", "−")


def bits(number: float) -> str:
    """Three places, or as many as a small number needs; exactly nothing is "0".

    >>> bits(3.14159), bits(0.0000123), bits(0.0)
    ('3.142', '1.2e-05', '0')
    """
    if number == 0:
        return "0"
    return f"{number:.3f}" if number >= 0.001 else f"{number:.1e}"


def equal_choices(entropy: float) -> str:
    """Among how many equally likely words the choice would be as open.

    >>> equal_choices(3.0), equal_choices(0.5), equal_choices(13.2)
    ('8', '1.4', '9,410')
    """
    number = 2.0**entropy
    return f"{number:,.0f}" if number >= 5 else f"{number:.1f}".removesuffix(".0")
