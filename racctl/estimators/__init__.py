"""Frames to pose and masks, through libraries that others keep."""
