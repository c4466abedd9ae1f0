"""Everything a report computes, before it is put into words or tables."""
