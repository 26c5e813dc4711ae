"""Programs that run other programs: the demo, and the experiment of Table 1."""
