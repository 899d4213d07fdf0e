"""Floor F5: jobs are facts. They are stored before they are acknowledged and end exactly once, across crashes."""
