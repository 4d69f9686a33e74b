"""What people do with a count: a log of a workout's sets, and angles in degrees."""
