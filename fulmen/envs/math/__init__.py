"""Mathematics problems with exact answers, one family per module `math_<family>.py`, found by `fulmen.envs.names()`."""
