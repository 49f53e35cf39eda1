"""Kafka: what a record looks like to a function, how far a group came, and who is a member."""
