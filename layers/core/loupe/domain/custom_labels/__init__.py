"""Rekognition Custom Labels: its manifests, its rules and its figures."""
