"""Statistics of a study: metrics, intervals, comparisons and selections."""
