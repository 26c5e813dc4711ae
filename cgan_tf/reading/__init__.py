"""Reader studies: a page that asks people about patches, and what their answers say."""
