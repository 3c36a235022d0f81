"""The same signals at the broker: promote, run, reconcile, journal, and prove that live did what the backtest said."""
