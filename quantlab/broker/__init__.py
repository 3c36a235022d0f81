"""Interactive Brokers through its official client, old or new: one queue of immutable events in, few calls out."""
