"""Encodings in which files can be read line by line, and names that need not be in any."""

from __future__ import annotations

import codecs
import os

from tfvertical.errors import ConfigError


def ascii_compatible(encoding: str) -> str:
    """Python's name of an encoding in which line ends and delimiters are the bytes they are in ASCII.

    Raises:
        ConfigError: there is no such encoding, or it is another one.

    Example:
        >>> ascii_compatible("UTF8"), ascii_compatible("Latin1")
        ('utf-8', 'iso8859-1')
    """
    try:
        name = codecs.lookup(encoding).name.removesuffix("-sig")  # readers of UTF-8 pass over a mark of byte order
        plain = '\r\n,"\t;'.encode(name) == b'\r\n,"\t;'
    except (LookupError, ValueError) as error:
        raise ConfigError(f"There is no encoding called {encoding!r}.", expected="utf-8, latin-1, cp1252, …") from error
    if not plain:
        raise ConfigError(f"Files in {encoding!r} cannot be read line by line.", fix="save the file as UTF-8")
    return name


def utf8_name(name: str) -> str:
    """A file's name, or an id from a file, as text that can be written: names on disk need not be UTF-8, ids are.

    Example:
        >>> print(utf8_name("caf\\udce9.csv"), utf8_name("\\ud800"))
        caf\\xe9.csv \\ud800
    """
    try:
        found = os.fsencode(name)
    except UnicodeEncodeError:  # half a surrogate pair that stands for no byte
        found = name.encode(errors="backslashreplace")
    return found.decode(errors="backslashreplace")
