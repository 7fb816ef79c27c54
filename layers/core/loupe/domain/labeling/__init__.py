"""Labeling jobs: from pending images to accepted labels, by the portal, Ground Truth or an import."""
