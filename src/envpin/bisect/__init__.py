"""Find the release that broke or fixed something."""
