"""What results say in words and codes."""
