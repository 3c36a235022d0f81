"""One strategy over one set of bars: backtest, result, the loader of strategy files, and a second opinion."""
