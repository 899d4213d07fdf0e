"""What each kind of thing is made of: functions from a source of variation to painted parts, by theme."""
