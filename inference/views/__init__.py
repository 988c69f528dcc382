"""HTTP: the tasks for a single shot, what there is to know, tokens, and the playground."""
