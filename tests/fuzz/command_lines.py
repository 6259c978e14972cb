"""Command lines: options with values of every form."""

from pathlib import Path
from random import Random

from fuzz.grammar import Verdict

VALUES = (
    "",
    " ",
    "null",
    "true",
    "3",
    "-1",
    "1.5",
    "nan",
    "inf",
    "1e400",
    "9" * 400,
    "[]",
    "{}",
    "[1,2]",
    "{a: 1}",
    "a,b",
)
TEXTS = (
    "größe",
    "名" * 100,
    "x" * 5_000,
    "\0",
    "\n",
    "'",
    '"',
    "${oc.env:HOME}",
    "${x}",
    "$(true)",
    "\\",
    "\udcff",
    "`",
    "%s",
)
BROKEN = ("[", "]", "{", "[1", "{a", '"a', "[[[[", "a]", "(", "[" * 3_000, "{a: " * 500)
OPTIONS = {
    "numbers": ("seed", "training.batch_size", "training.epochs", "optimizer.learning_rate", "hardware.threads"),
    "choices": ("data", "model", "objective", "training", "experiment", "optimizer", "registry"),
    "texts": ("run.name", "run.root", "registry.url", "registry.password_file", "determinism", "device"),
    "lists": ("model.hidden", "objective.metrics", "evaluation.groups", "data.buckets"),
    "sections": ("run", "data.split", "training.early_stopping", "evaluation"),
}
KEYS = tuple(key for keys in OPTIONS.values() for key in keys)
NO_NUMBERS = ("abc", "", "[1]", "{a: 1}", "nan", "inf", "-1", "9" * 30, "1e400", str(2**63), "null", "true", "0x10")
WRONG_NAMES = ("x" * 300, "名" * 100, "a/b", "..", ".", "-x", "a\0b", "drift.html", "registry.db")
WRONG_URLS = ("http://x", "postgresql://u:p@h/d", "::", "sqlite:", "sqlite://x", "postgresql://u@h:x/d", "3")
PRESETS = (
    "a: [1", "!!python/object/apply:os.system ['true']", "seed: !x 3", "seed: &a 3\nx: *a", "\t- x", "- 1", "seed: abc",
    "a" * 99, "{" * 99, "\0", "seed: 1\nseed: 2", "unknown: 3", "model: {nothing: 1}", "%YAML 9", "? [a]: b", "run: 3",
)  # fmt: skip


# ---- each takes the folder of the presets and returns arguments -----------------------------------------------------


def wrong_number(random: Random, folder: Path) -> list[str]:
    return [f"{random.choice(OPTIONS['numbers'])}={random.choice(NO_NUMBERS)}"]


def wrong_choice(random: Random, folder: Path) -> list[str]:
    return [
        f"{random.choice(OPTIONS['choices'])}={random.choice([*BROKEN, *TEXTS, '3', 'true', '[a]', '{}', 'nothing'])}"
    ]


def unknown_key(random: Random, folder: Path) -> list[str]:
    sign = random.choice(["", "+", "++", "~"])
    key = random.choice(
        ["", "x", "data.", ".seed", "seed.x", "data..path", "größe", "a b", "[seed]", "SEED", "run.name.x", "-"]
    )
    return [f"{sign}{key}={random.choice(['3', 'a', '', 'null'])}"]


def broken_value(random: Random, folder: Path) -> list[str]:
    return [f"{random.choice(KEYS)}={random.choice(BROKEN)}"]


def wrong_name(random: Random, folder: Path) -> list[str]:
    return [f"run.name={random.choice(WRONG_NAMES)}"]


def wrong_url(random: Random, folder: Path) -> list[str]:
    return [f"registry.url={random.choice(WRONG_URLS)}"]


def several_values(random: Random, folder: Path) -> list[str]:
    return [
        random.choice(
            ["seed=1,2", "-m", "--multirun", "~seed", "~model", "seed", "--x", "-1", "model=mlp,cnn", "@x", "="]
        )
    ]


def damaged_preset(random: Random, folder: Path) -> list[str]:
    (folder / "experiment" / "damaged.yaml").write_text(random.choice(PRESETS))
    return ["experiment=damaged"]


def readable(random: Random) -> tuple[list[str], dict[str, object]]:
    """Return arguments as a person types them, and the values that they mean, by key."""
    paths = [
        "/tmp/données/x.csv",
        "a b.csv",
        "C:x.csv",
        "x;y.csv",
        "(1).csv",
        "a=b.csv",
        "名.csv",
        "x#1.csv",
        "100%.csv",
    ]
    columns = ["größe", "Zahl (€)", "a b", "x;y", "#1", "a&b", "50 %", "\u017f", "m*", "a..b"]
    path, column, label = random.choice(paths), random.choice(columns), random.choice(["label", "größe 2", "名"])
    form, rate = random.choice([("1e-3", 1e-3), (".5", 0.5), ("+0.25", 0.25), ("1", 1.0)])
    arguments = [
        f"data.path={path}",
        f"data.numeric=[{column}]",
        f"data.labels={label}",
        f"optimizer.learning_rate={form}",
    ]
    random.shuffle(arguments)
    values = {"data.path": path, "data.numeric": [column], "data.labels": [label], "optimizer.learning_rate": rate}
    return ["data=csv", *arguments], values


def anything(random: Random, folder: Path) -> list[str]:
    words = [*VALUES, *TEXTS, *BROKEN, *NO_NUMBERS]
    return [
        f"{random.choice(['', '', '+', '++'])}{random.choice(KEYS)}={random.choice(words)}"
        for _ in range(random.randrange(1, 4))
    ]


def changed_letters(random: Random, folder: Path) -> list[str]:
    text = [
        *random.choice(
            ["model.hidden=[64,32]", "optimizer.learning_rate=0.01", "data.split={group: a}", "run.name='a b'"]
        )
    ]
    for _ in range(random.randrange(1, 4)):
        text[random.randrange(len(text))] = random.choice("[]{}'\",:=+-~.$\\/ 0a\0ä@!#%&*()<>|")
    return ["".join(text)]


WRONG = (wrong_number, wrong_choice, unknown_key, broken_value, wrong_name, wrong_url, several_values, damaged_preset)
COMMAND_LINES = [*((line, Verdict.WRONG) for line in WRONG), (anything, Verdict.ANY), (changed_letters, Verdict.ANY)]
