"""Starts the studio: `python launch.py` opens the page, `python launch.py --help` lists the rest.

Runs on the standard library alone. The check of the Python version stands before every other import and in syntax
that old interpreters can read, so that they answer with a sentence and not with a SyntaxError.
"""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(
        "Atelier needs Python 3.11, 3.12 or 3.13; this is Python "
        + ".".join(map(str, sys.version_info[:3]))
        + ". Start it with one of those, for example: python3.12 launch.py"
    )

from modules.bootstrap.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
