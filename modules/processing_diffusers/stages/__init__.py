"""The steps of one batch, one verb each; `progress.Run` owns timing, events and cancel checks around them."""
