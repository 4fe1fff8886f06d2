"""What is read over the network: packages' releases and wheels (`index/`), models of the Hub (`hub/`)."""
