"""The schema revisions of the registry for Alembic; `python -m pipeline registry upgrade` applies them."""
