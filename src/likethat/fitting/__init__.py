"""What the methods that give a bank share: one fit from the first image to the prototypes of every unit."""
