"""One module per kind of file that no library reads, or whose labels none reads."""
