"""Application Auto Scaling for the local cloud, for the variants of endpoints: it records and describes."""
