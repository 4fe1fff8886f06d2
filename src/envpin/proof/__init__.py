"""`envpin prove`: a proof for a merge that anybody made, from the files of base, adapter and merged model."""
