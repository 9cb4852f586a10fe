"""Logic puzzles made by rules and checked by rules, one file each."""
