"""Pictures and pages that several programs share."""
