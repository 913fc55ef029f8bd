"""What an evaluation hands on: page, plots, pictures."""
