"""What tests build: small trees, sets, networks and runs."""
