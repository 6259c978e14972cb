"""Run benchmarks: `python -m benchmarks [NAME...] [data.path=FOLDER_OF_MNIST]`."""

import importlib
import os
import sys

DEFAULT = ("startup", "preflight", "engines", "objectives", "convnet", "checkpoints")
BENCHMARKS = (*DEFAULT, "memory", "registry", "drift", "predict", "accuracy", "image")


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, or the default ones. Return the exit status."""
    folder = None
    names: list[str] = []
    for argument in arguments:
        if argument.startswith("data.path="):
            folder = argument.removeprefix("data.path=")
        elif argument in BENCHMARKS:
            names.append(argument)
        else:
            print(f"{argument}: expected data.path=FOLDER, or one of {', '.join(BENCHMARKS)}.", file=sys.stderr)
            return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for child processes too
    for name in names or DEFAULT:
        print(f"\n---- {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").run(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
