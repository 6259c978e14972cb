"""What Alembic runs: the revisions, in the transaction and under the lock that store.upgrade_schema has opened."""

from alembic import context

from pipeline.registry.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite changes a column by copying its table
)
with context.begin_transaction():
    context.run_migrations()
