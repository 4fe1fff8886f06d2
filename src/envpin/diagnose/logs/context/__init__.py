"""What the frames around an error tell: who asked, with which library, for which folder, file or row."""
