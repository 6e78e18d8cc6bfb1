"""Floor 1: PostgreSQL. The only floor that imports psycopg."""
