"""What stands between the products of a layer, on a GPU: operations on rows, each in one pass (docs/rows.md)."""
