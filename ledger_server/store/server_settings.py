"""What the embedded PostgreSQL is always told, beside what makes it durable and fits it to the machine."""

from __future__ import annotations

PORT = 5432  # Names the socket file; nothing listens on TCP.
LOCAL = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}
# Its log is for whoever looks after the machine, and what stands in the books is not. An error
# is a sentence with the names of our constraints; statements, their values, and the rows that
# PostgreSQL would add to it (DETAIL, CONTEXT) stay out.
DISCREET = {
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
}
