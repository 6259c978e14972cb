"""How it learns: objectives, two engines, callbacks, checkpoints."""
