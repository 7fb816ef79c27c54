"""What the console's pages tell and change."""
