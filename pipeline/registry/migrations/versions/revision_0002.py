"""Create the tables of drift: histograms of predictions, and the results of drift checks."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "prediction_profile",
        sa.Column("run_id", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("fingerprint", "split", "label")),
        sa.Column("rows", sa.BigInteger),
        sa.Column("profile", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "fingerprint", "split", "label", name="pk_prediction_profile"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_prediction_profile_run_id"),
    )
    op.create_table(
        "drift_result",
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("at", "kind", "subject", "method")),
        sa.Column("data", sa.Text),
        sa.Column("reference_rows", sa.BigInteger),
        sa.Column("rows", sa.BigInteger),
        sa.Column("effect", sa.Double),
        sa.Column("p_value", sa.Double),
        sa.Column("threshold", sa.Double),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("detail", sa.Text),
        sa.PrimaryKeyConstraint("run_id", "place", "number", name="pk_drift_result"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_drift_result_run_id"),
    )
    op.create_index("ix_drift_result_verdict", "drift_result", ["verdict"])
