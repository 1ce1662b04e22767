"""Photos in Parquet files as the Hugging Face hub has them: brought here, or read while a run trains."""
