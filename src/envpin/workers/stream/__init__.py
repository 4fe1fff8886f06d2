"""The engine that merges from file to file: planning here, bytes in `io/`, proof in `prove/`."""
