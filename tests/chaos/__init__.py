"""The programs of the chain under disturbances: `make chaos`."""
