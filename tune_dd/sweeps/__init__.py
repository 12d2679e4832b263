"""From settings to a finished sweep: what is proposed, run, recorded, resumed and shown."""
