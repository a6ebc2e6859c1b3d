"""Everything foreign becomes ours here: units, axes, column order, clock."""
