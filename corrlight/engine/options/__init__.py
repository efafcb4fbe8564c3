"""Callbacks that single options of a run switch on."""
