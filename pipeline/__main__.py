"""Run the command line: `python -m pipeline COMMAND ...`."""

import sys

from pipeline.runtime import streams

if __name__ == "__main__":
    streams.open_missing()
    from pipeline.cli.main import main

    sys.exit(main(sys.argv[1:]))
