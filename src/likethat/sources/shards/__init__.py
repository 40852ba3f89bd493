"""Images in shards: WebDataset's tars and Parquet files, here or far away, found again by shard and place."""
