"""From objects of the raw-data bucket to images that can be labeled and shown."""
