"""What a model is: its settings and sizes, and what follows from them, told without building it."""
