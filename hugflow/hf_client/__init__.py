"""Client for the Hugging Face Hub: the only package that imports `huggingface_hub` and `datasets`."""
