"""Create the tables of runs: provenance, epochs, scores, files and events."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "architecture",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("parameters", sa.BigInteger),
        sa.Column("summary", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_architecture"),
        sa.UniqueConstraint("digest", name="uq_architecture_digest"),
    )
    op.create_table(
        "environment",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("lock_name", sa.Text),
        sa.Column("lock_digest", sa.Text),
        sa.Column("drifted", sa.Integer, nullable=False),
        sa.Column("packages", sa.Text, nullable=False),
        sa.Column("image_digest", sa.Text),
        sa.Column("python", sa.Text),
        sa.Column("platform", sa.Text),
        sa.Column("hardware", sa.Text, nullable=False),
        sa.Column("driver", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_environment"),
        sa.UniqueConstraint("digest", name="uq_environment_digest"),
    )
    op.create_table(
        "dataset",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("rows", sa.Text, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("profile", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_dataset"),
        sa.UniqueConstraint("digest", name="uq_dataset_digest"),
    )
    op.create_index("ix_dataset_fingerprint", "dataset", ["fingerprint"])
    op.create_table(
        "run",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("uuid", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("name", "status", "command", "started", "ended")),
        sa.Column("seconds", sa.Double),
        *(sa.Column(name, sa.Text) for name in ("data", "model", "training")),
        sa.Column("seed", sa.Integer),
        sa.Column("git_commit", sa.Text),
        sa.Column("git_dirty", sa.Integer),
        *(sa.Column(name, sa.Text) for name in ("host", "folder", "config", "config_digest")),
        *(sa.Column(f"{name}_id", sa.Integer) for name in ("architecture", "environment", "dataset")),
        sa.Column("epochs", sa.Integer),
        sa.Column("best_epoch", sa.Integer),
        sa.Column("weights_digest", sa.Text),
        sa.Column("journal_bytes", sa.BigInteger, nullable=False),
        sa.Column("journal_sha256", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
        sa.UniqueConstraint("uuid", name="uq_run_uuid"),
        *(
            sa.ForeignKeyConstraint([f"{name}_id"], [f"{name}.id"], name=f"fk_run_{name}_id")
            for name in ("architecture", "environment", "dataset")
        ),
    )
    op.create_index("ix_run_name", "run", ["name"])
    op.create_index("ix_run_started", "run", ["started"])
    op.create_table(
        "epoch_metric",
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("not_finite", sa.Text),
        sa.PrimaryKeyConstraint("run_id", "epoch", "metric", name="pk_epoch_metric"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_epoch_metric_run_id"),
    )
    op.create_table(
        "evaluation",
        sa.Column("run_id", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("fingerprint", "split", "label", "metric")),
        sa.Column("value", sa.Double),
        sa.Column("not_finite", sa.Text),
        sa.Column("low", sa.Double),
        sa.Column("high", sa.Double),
        sa.Column("confidence", sa.Double),
        sa.Column("rows", sa.BigInteger),
        sa.Column("data", sa.Text),
        sa.Column("evaluated", sa.Text),
        sa.PrimaryKeyConstraint("run_id", "fingerprint", "split", "label", "metric", name="pk_evaluation"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_evaluation_run_id"),
    )
    op.create_index("ix_evaluation_metric", "evaluation", ["metric"])
    op.create_table(
        "artifact",
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger),
        sa.PrimaryKeyConstraint("run_id", "path", name="pk_artifact"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_artifact_run_id"),
    )
    op.create_table(
        "event",
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("message", sa.Text),
        sa.PrimaryKeyConstraint("run_id", "place", name="pk_event"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_event_run_id"),
    )
