"""One model, many clients: their requests wait in one line, and leave it as packed micro-batches."""
