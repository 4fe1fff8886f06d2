"""The engine that loads the whole model and lets peft merge it, and its verification."""
