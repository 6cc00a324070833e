"""The command line: a file a command; each parses words into values and hands them over."""
