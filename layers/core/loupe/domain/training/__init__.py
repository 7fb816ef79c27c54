"""A turn of the loop: the plan of a training, the candidate's figures, and whether it is promoted."""
