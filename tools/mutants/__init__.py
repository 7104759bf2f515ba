"""Small mistakes put into the code, to see whether a test fails for each of them."""
