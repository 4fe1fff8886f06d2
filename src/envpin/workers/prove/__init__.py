"""`prove`: is a merged model the base plus this adapter? Tensor by tensor, from files, whoever merged it."""
