"""The text of every file we keep: parse, check, dump. Pure: no file is opened here.

Parsers refuse what they do not understand with one typed error that names the file; they keep keys
they do not know. Dumps are canonical: equal values give equal bytes.
"""
