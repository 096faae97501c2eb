"""The project folder: what lies where, and what may become of it.

Everything below a project's root is read and changed through this room; the bytes go to disk
through `nbversion.disk`, their text through `nbversion.formats`.
"""
