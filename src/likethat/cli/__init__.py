"""The command line: with the page, the only floor that prints or draws progress."""
