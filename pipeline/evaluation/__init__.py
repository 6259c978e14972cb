"""How good it is: metrics with their uncertainty, and the report."""
