"""What the methods share that explain texts by editing them: masks, a linear surrogate over edits, the search."""
