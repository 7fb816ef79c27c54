"""Loupe: drop images into a bucket; get labels, a trained model and a REST endpoint, again and again."""
