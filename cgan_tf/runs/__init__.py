"""How any program runs: its flags, its directory, its console, its errors, its machine."""
