"""Original problems, one module each; `authoring.Problem` says what is in one."""
