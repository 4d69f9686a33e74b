"""From a clip to exercise labels."""
