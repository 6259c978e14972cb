"""Statistics: metrics with intervals, profiles, drift, change points and equivalence."""
