"""The report: a module for each section, and the page that holds them."""
