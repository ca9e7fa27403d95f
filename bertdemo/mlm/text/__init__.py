"""What a person typed becomes token ids, and ids become words again.

``prompt`` is the input doctor: blanks in any spelling, a window around them, notes on what was changed. ``tokens``
names a tokenizer's pieces, groups them into words, and finds what two vocabularies share.
"""
