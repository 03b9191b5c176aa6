"""Who decides: ask, price, reject, train, stop early, record."""
