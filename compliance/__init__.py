"""From evidence to reports: reads ledgers and signed studies, recomputes, and says what is shown and what is not."""
