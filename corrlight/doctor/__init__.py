"""Whether an installation works (``corrlight doctor``)."""
