"""What is published: files, folders and stored datasets as streams of rows with one schema each."""
