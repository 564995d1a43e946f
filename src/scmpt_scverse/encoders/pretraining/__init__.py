"""Pre-training of small scGPT encoders: cells streamed from files, objectives, and what is written at the end."""
