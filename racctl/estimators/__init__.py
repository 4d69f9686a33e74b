"""Frames to pose and masks, using third-party libraries."""
