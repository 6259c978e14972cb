"""The benchmarks' door: python -m benchmarks [NAME...] [data.path=FOLDER_OF_MNIST]"""

import importlib
import os
import sys

USUAL = ("startup", "preflight", "engines", "objectives", "convnet", "checkpoints")
BENCHMARKS = (*USUAL, "memory", "registry", "drift", "accuracy", "image")


def main(arguments):
    folder = None
    names = []
    for argument in arguments:
        if argument.startswith("data.path="):
            folder = argument.removeprefix("data.path=")
        elif argument in BENCHMARKS:
            names.append(argument)
        else:
            print(f"{argument}: expected data.path=FOLDER, or one of {', '.join(BENCHMARKS)}.", file=sys.stderr)
            return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # in the processes to come as well
    for name in names or USUAL:
        print(f"\n---- {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").run(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
