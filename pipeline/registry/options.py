"""Options of the registry of runs."""

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import unquote_plus, urlsplit

from pipeline.errors import ConfigError
from pipeline.options import READ, Options, option


@dataclass
class Registry(Options):
    """The registry of runs: a SQLite file, or a PostgreSQL server that several machines share."""

    key: ClassVar[str] = "registry"

    url: str | None = option(
        None,
        "null: the SQLite file registry.db under run.root; else sqlite:///FILE on a local disk, "
        "postgresql://USER@HOST:PORT/DATABASE without a password, or none: the run's own journal only",
    )
    password_file: str = option(
        "",
        "file whose first line is the password of PostgreSQL; '' uses PGPASSWORD from the environment, or ~/.pgpass",
        path=READ,
    )
    patience: float = option(10.0, "seconds that the end of a run waits for a slow registry; 0: never", min=0)

    def check(self) -> None:
        """Check the kind of database, and that the URL contains no password.

        Raises:
            ConfigError: The kind of database is not supported, or the URL contains a password.
        """
        scheme, _, rest = (self.url or "sqlite://").partition("://")
        if self.url != "none" and scheme not in ("sqlite", "postgresql"):
            raise ConfigError(
                "registry.url: expected null, none, sqlite:///FILE or postgresql://USER@HOST:PORT/DATABASE; "
                f"found one that begins with {scheme.split(':')[0]!r}."
            )
        if not is_complete(self.url or "sqlite:///registry.db"):
            raise ConfigError(
                "registry.url: expected sqlite:///FILE or postgresql://USER@HOST:PORT/DATABASE; found a URL without a "
                "file, or with a host or port that cannot be read."
            )
        if ":" in rest.rpartition("@")[0] or "password" in unquote_plus(rest.partition("?")[2]).lower():
            raise ConfigError(
                "registry.url: expected no password, since config.yaml and the shell history keep the URL; found "
                "one. Set PGPASSWORD in the environment, or use a file: registry.password_file=FILE."
            )


def is_complete(url: str) -> bool:
    """Return whether a URL names a file, or has a host and port that can be read. "none" is complete."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises for a port that is no number
    except ValueError:
        return False
    return parts.scheme != "sqlite" or parts.path.strip("/") != ""
