"""The journal: every job and every picture, in a database that outlives the program."""
