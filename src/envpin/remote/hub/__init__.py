"""Repositories of the Hugging Face Hub: headers and small files from afar, whole files into the Hub's own cache.

huggingface_hub is the client: its endpoint, token, proxy, cache and offline variables count here as they do there.
It is imported when a repository is first asked for, never before.
"""
