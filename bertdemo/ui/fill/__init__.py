"""The first screen: a text with blanks, what a model would put there, the strip, a second model beside it."""
