"""Run the command line: `python -m pipeline COMMAND ...`."""

import sys

from pipeline.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
