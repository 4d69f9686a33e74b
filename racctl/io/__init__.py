"""Files in and out: what a file is (sniff), seekable input (spool), npz and Parquet with the racctl meta document."""
