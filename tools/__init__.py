"""The small tools themselves, one file per subcommand; installed as racctl.tools."""
