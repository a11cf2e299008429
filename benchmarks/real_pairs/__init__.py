"""Real pictures and texts out of packages, what is made of them, and what they are held against."""
