"""Two models in front of users: who sees which, what they saw and clicked, and what may be concluded from it."""
