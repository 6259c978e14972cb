"""The command line: arguments, config, help, and what a launcher needs."""
