"""The lessons of the Learn tab, a module each: a few plain sentences, and one live thing to touch."""
