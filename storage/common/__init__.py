"""What all of storage uses: errors, compression, concurrency, passwords."""
