"""`python -m insegan_ros.cli`: the `insegan` command."""

from insegan_ros.cli.start import command

raise SystemExit(command())
