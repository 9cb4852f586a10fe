"""The 41 logic tasks, one module each, named as the task. `fulmen.envs.names()` finds them by themselves."""
