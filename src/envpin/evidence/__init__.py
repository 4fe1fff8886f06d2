"""Where the matrix's knowledge comes from: collected from the index, checked against it, proved by running."""
