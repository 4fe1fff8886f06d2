"""What is known to work: families, how to recognise them, which versions to pin."""
