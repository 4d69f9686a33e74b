"""What all tools share: dispatcher, options, stdin and stdout, progress. The only place with typer and rich."""
