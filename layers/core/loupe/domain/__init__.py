"""What Loupe does, in plain Python: it knows no AWS."""
