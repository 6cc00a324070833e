"""`fromnoise show …`."""
