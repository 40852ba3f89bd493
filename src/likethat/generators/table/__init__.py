"""A generator of table rows: a VAE whose every row is valid."""
