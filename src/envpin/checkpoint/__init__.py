"""A model or adapter folder read without torch: headers, configs, tokenizer files."""
