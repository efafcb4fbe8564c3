"""What sub-commands of ``corrlight`` have alike."""
