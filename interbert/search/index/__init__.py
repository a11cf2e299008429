"""An index on the disk: what is in it stands in a database; all that is fast is derived from that."""
