"""Data sets: readers of formats, a catalogue of names, and a synthetic world."""
