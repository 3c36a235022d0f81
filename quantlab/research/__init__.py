"""What a strategy is worth knowing about before it trades: causality, and later sweeps and their evidence."""
