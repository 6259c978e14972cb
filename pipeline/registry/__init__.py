"""What was trained, from what, and how well: a journal in every run's folder, and tables of SQL made from journals."""
