"""Run by Alembic: apply the revisions in the transaction that `store.upgrade_schema` has begun."""

from alembic import context

from pipeline.registry.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite cannot alter most columns, so Alembic copies the table
)
with context.begin_transaction():
    context.run_migrations()
