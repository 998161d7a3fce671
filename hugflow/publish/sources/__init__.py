"""Sources of a publish: files, folders, tables in memory and stored datasets as streams of rows with one schema."""
