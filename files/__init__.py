"""Opening and creating files in folders where others may have prepared something."""
