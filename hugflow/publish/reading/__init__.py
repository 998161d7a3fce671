"""What is published comes in here: files, folders and datasets in storage, as streams of rows with one schema each."""
