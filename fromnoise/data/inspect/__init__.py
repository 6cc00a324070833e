"""The doctor: counts, measures and checks a folder, and proposes a recipe for it."""
