"""Distilled environments on the command line: learning them, and judging anybody's."""
