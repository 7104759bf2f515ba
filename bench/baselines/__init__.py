"""What the service is compared with, written here."""
