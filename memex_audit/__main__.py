"""`python -m memex_audit`: the command line, where its script is not on the path."""

from memex_audit.cli import main

main(prog_name="memex")
