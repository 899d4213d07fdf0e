"""`python -m modules.cli COMMAND …`: what launch.py runs inside the environment."""

import sys

from modules.cli.dispatch import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
