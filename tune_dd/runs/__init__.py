"""One run's folder and what stands in it: summary, artefacts, tables, pictures."""
