"""The registry's revisions, for Alembic; `python -m pipeline registry upgrade` applies them."""
