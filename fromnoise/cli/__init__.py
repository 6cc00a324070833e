"""The command line: a file for a command or a family of them; each parses words into values and hands them over."""
