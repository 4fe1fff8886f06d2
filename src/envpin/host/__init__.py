"""Workers in pinned environments, from the controller's side: what they are asked (`verbs`), the call (`worker`)."""
