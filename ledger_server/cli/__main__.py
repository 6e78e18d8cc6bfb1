"""`python -m ledger_server.cli` is `ledger`."""

import sys

from ledger_server.cli import main

sys.exit(main())
