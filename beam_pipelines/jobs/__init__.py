"""How a Beam job runs: its options, its work items, its metrics."""
