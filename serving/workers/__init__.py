"""Behind the HTTP surface: the queue, the scorers, and each worker's side of them."""
