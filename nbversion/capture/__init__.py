"""Facts about the present: the environment, git, a cell's names, an object's bytes.

Nothing here knows the project folder or writes to it.
"""
