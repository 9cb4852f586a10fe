"""One file is one kind of run, read top to bottom; its `Args` are what the command line can set."""
