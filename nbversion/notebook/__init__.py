"""The notebook front end: the only room that knows IPython.

A magic parses its words, makes one call to `nbversion.project`, and gives back the record.
"""
