"""What a database must offer, and the databases that offer it."""
