"""What is trained: fusion heads over frozen embeddings. Tensors only; AnnData is not known here."""
