"""Which configurations there are, what each costs, and how one is made to fit."""
