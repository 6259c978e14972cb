"""The command line: arguments, config, help, and the options of containers."""
