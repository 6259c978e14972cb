"""What can be known to be wrong before the first step, each finding under a stable code; one file a subject."""
