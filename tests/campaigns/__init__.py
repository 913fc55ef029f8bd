"""Campaigns: many faults in a running node, then one checker that asks the same of each.

`make campaign` runs them whole, and `make campaign ARGS="kills --short"` one of them shortened; `make test` runs the
short form of each. Every fault is caused for real: processes are killed or stopped, file systems fill up or go away,
clocks jump, peers misbehave. A campaign prints its seed and a table (`frame.outcome.Outcome`).
"""
