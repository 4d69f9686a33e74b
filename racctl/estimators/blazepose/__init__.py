"""BlazePose on its two networks: regions, tracks of people, and which of them exercises."""
