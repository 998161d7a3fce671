"""YAML as text with places: nothing is constructed, faults are said in plain words, values are never guessed."""
