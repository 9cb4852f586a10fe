"""Pure tensor functions. One dispatch point per operator picks an implementation; nothing above knows which."""
