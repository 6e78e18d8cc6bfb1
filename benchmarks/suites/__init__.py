"""What is measured, and beside what: each suite takes the bench and yields rows of the result."""
