"""What texts in fields and headings say: times, numbers and words."""
