"""From a clip to counted repetitions."""
