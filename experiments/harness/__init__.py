"""What tables and figures are made with: rows to runs, runs to tables and pictures."""
