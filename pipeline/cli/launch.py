"""Find the mounts, the network and the run folder that a command line needs, before the program can run.

python -m pipeline.cli.launch engine ARGUMENTS...   print the options for `docker run` or `podman run`, one per line
python -m pipeline.cli.launch folder ARGUMENTS...   print the run folder

It uses the standard library only, since it runs on a machine on which nothing is installed. The paths among the options
are found by reading the declarations (`option(..., path=READ)`) from the source, without importing them.
"""

import ast
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class Declared:
    """One class of options in the source code.

    Attributes:
        bases: The names of its base classes.
        section: Its section of the config, if the class sets `key`.
        paths: Name of a path option -> "READ" or "WRITE".
    """

    bases: list[str]
    section: str | None = None
    paths: dict[str, str] = field(default_factory=dict)


@dataclass
class Container:
    """The options of a container. Every path of this machine is mounted at the same path.

    Attributes:
        project: The folder of the project.
        mounts: Path -> value of its --mount option.
        environment: Values of the --env options: NAME, or NAME=VALUE.
        network: Value of --network; "" leaves the default network of the engine.
    """

    project: Path
    mounts: dict[str, str] = field(default_factory=dict)
    environment: list[str] = field(default_factory=list)
    network: str = "none"

    def mount(self, path: str | Path, *, writable: bool) -> None:
        """Mount a path under the given name and, if it is a symbolic link, also under its real path.

        The project itself is mounted read-only. A path inside it therefore needs a mount only if it is written to.
        """
        named, real = os.path.abspath(path), os.path.realpath(path)  # noqa: PTH100  links stay
        if writable or not self.is_inside(real):
            self.bind(real, writable=writable)
        if not self.is_inside(named):
            self.bind(named, writable=writable)

    def is_inside(self, path: str) -> bool:
        """Return whether a path is inside the folder of the project."""
        return path.startswith(f"{self.project}{os.sep}")

    def bind(self, path: str, *, writable: bool) -> None:
        """Mount a path under its own name, unless it is mounted already."""
        self.mounts.setdefault(path, f'type=bind,"src={path}","dst={path}"{"" if writable else ",readonly"}')

    def options(self) -> list[str]:
        """Return the options for `docker run` or `podman run`."""
        options = [option for mount in self.mounts.values() for option in ("--mount", mount)]
        options += [option for variable in self.environment for option in ("--env", variable)]
        return options + (["--network", self.network] if self.network else [])


def main(arguments: list[str]) -> int:
    """Run one of the two commands of this module.

    Returns:
        The exit status.
    """
    match arguments:
        case ["engine", *rest]:
            print("\n".join(engine_options(rest, PROJECT, os.environ)))
        case ["folder", *rest]:
            given = dict(overrides(rest))
            print(Path(given.get("run.root", "runs")) / given.get("run.name", ""))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


def engine_options(arguments: list[str], project: Path, environment: Mapping[str, str]) -> list[str]:
    """Return the options of `docker run` for a command line, and create the folders that it writes to.

    Args:
        arguments: The module and its arguments, as for `python -m`.
        project: The folder of the project, which is the working directory.
        environment: The environment variables of the caller. RUN_NETWORK, KERAS_HOME, PGPASSFILE and HOME are read.
    """
    paths = path_options()
    given = list(overrides(arguments))
    last = dict(given)
    root = Path(last.get("run.root", "runs"))
    written = [value for key, value in given if paths.get(key) == "WRITE" and key != "run.root"]
    if "record" in arguments:
        written.append(last.get("golden.file", "golden/results.json"))
    if "run.name" in last:
        given += stored_data(root / last["run.name"] / "config.yaml")
    container = Container(project)
    root.mkdir(parents=True, exist_ok=True)
    container.mount(root, writable=True)
    add_written(container, written)
    add_keras(container, given, environment, project)
    add_registry(container, given, environment)
    if any("=~/" in argument or '="~/' in argument for argument in arguments):
        container.environment.append(f"CALLER_HOME={environment['HOME']}")
    container.network = environment.get("RUN_NETWORK", container.network)
    container.bind(str(project), writable=False)
    add_read(container, [value for key, value in given if paths.get(key) == "READ"])
    return container.options()


def add_written(container: Container, paths: list[str]) -> None:
    """Mount the parent folders of the files and folders that will be written."""
    for path in paths:
        if path in ("", "-"):  # the default, or standard output
            continue
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        container.mount(Path(path).parent, writable=True)


def add_read(container: Container, paths: list[str]) -> None:
    """Mount the paths that will be read. A missing path is skipped: the program reports it later."""
    for path in paths:
        if path and Path(path).exists():
            container.mount(path, writable=False)


def add_keras(
    container: Container, given: list[tuple[str, str]], environment: Mapping[str, str], project: Path
) -> None:
    """If the data is downloaded by Keras, mount Keras's cache and allow the network."""
    presets = [project / "configs" / "experiment" / f"{value}.yaml" for key, value in given if key == "experiment"]
    chosen = ("data", "keras") in given or any(
        "/data: keras" in preset.read_text() for preset in presets if preset.exists()
    )
    if chosen:
        cache = environment.get("KERAS_HOME") or f"{environment['HOME']}/.keras"
        Path(cache).mkdir(parents=True, exist_ok=True)
        container.mount(cache, writable=True)
        container.environment.append(f"KERAS_HOME={cache}")
        container.network = ""


def add_registry(container: Container, given: list[tuple[str, str]], environment: Mapping[str, str]) -> None:
    """Mount the folder of a SQLite file; for a PostgreSQL server, allow the network and pass on the password."""
    urls = [value for key, value in given if key == "registry.url"]
    for url in urls:
        if url.startswith("sqlite:///"):
            container.mount(Path(url.removeprefix("sqlite:///")).parent, writable=True)
    if ("registry", "postgresql") in given or any(url.startswith("postgresql:") for url in urls):
        passwords = environment.get("PGPASSFILE") or f"{environment['HOME']}/.pgpass"
        if Path(passwords).is_file():
            container.mount(passwords, writable=False)
        container.environment += ["PGPASSWORD", f"PGPASSFILE={passwords}"]
        container.network = "host"


def overrides(arguments: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (key, value) of each argument KEY=VALUE, without Hydra's leading + and without quotes around the value.

    `~/` is the home folder of the caller, as in `pipeline.options.with_home`.
    """
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals:
            value = unquoted(value)
            yield key.lstrip("+"), str(Path(value).expanduser()) if value.startswith("~/") else value


def stored_data(config: Path) -> list[tuple[str, str]]:
    """Return [("data", NAME)], the data source in a run's config.yaml; [] if there is none.

    A stored config names no mounts: it may come from anyone, so the caller gives every path again.
    """
    text = config.read_text() if config.is_file() else ""
    found = re.search(r"^choices:\n(?: +\w+: *\w+\n)*? +data: *(\w+)$", text, re.MULTILINE)
    return [("data", found[1])] if found else []


def unquoted(value: str) -> str:
    """Return a value without a pair of quotes around it."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def path_options() -> dict[str, str]:
    """Return the dotted key of every option that holds a path -> "READ" or "WRITE"."""
    declared: dict[str, Declared] = {}
    for folder in ("pipeline", "custom"):
        for file in sorted((PROJECT / folder).rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            if "Options" in text or "DataSource" in text:
                declared |= declarations(text)
    return {
        f"{section_of(name, declared)}.{option}": mode
        for name, owner in declared.items()
        for option, mode in owner.paths.items()
    }


def declarations(source: str) -> dict[str, Declared]:
    """Return the classes in a source text, with the path options that they declare."""
    declared = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            owner = declared[node.name] = Declared([base.id for base in node.bases if isinstance(base, ast.Name)])
            for line in node.body:
                match line:
                    case ast.AnnAssign(target=ast.Name("key"), value=ast.Constant(str() as section)):
                        owner.section = section
                    case ast.AnnAssign(
                        target=ast.Name(name), value=ast.Call(func=ast.Name("option"), keywords=keywords)
                    ):
                        for keyword in keywords:
                            if keyword.arg == "path" and isinstance(keyword.value, ast.Name):
                                owner.paths[name] = keyword.value.id
    return declared


def section_of(name: str, declared: dict[str, Declared]) -> str:
    """Return the section of the config that a class of options belongs to, its own or that of a base class."""
    owner = declared.get(name)
    if owner is None:
        return ""
    return owner.section or next(filter(None, (section_of(base, declared) for base in owner.bases)), "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
