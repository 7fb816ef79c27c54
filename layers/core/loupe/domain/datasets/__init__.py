"""Dataset versions: which labels are in them, in which split, and what can be seen of them."""
