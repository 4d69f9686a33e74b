"""racctl: small Unix-style tools that turn video of people exercising into pose, counts and labels."""

__version__ = "0.1.0"
