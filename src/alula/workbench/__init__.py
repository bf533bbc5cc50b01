"""In: models and measurements. Out: what people do around models: bench, check, demo data."""
