"""The vocabulary: values every stage speaks in. Imports nothing of ours."""
