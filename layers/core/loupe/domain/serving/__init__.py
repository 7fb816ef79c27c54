"""Models in service: releases, predictions, and what they cost by the hour."""
