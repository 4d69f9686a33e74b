"""Readers of published annotation files and of racctl's own tables: a tidy list of clips, each with its true count."""
