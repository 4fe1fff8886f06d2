"""What is left when no wording and no fact explains a log: what a library raised, what a script stopped at."""
