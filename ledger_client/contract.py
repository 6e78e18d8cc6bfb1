"""Every message and enum of the contract under one name, whichever file of it they live in."""

from ledger.v1.account_service_pb2 import *  # noqa: F403
from ledger.v1.api_key_service_pb2 import *  # noqa: F403
from ledger.v1.audit_service_pb2 import *  # noqa: F403
from ledger.v1.chart_service_pb2 import *  # noqa: F403
from ledger.v1.dev_service_pb2 import *  # noqa: F403
from ledger.v1.ledger_admin_service_pb2 import *  # noqa: F403
from ledger.v1.ledger_pb2 import *  # noqa: F403
from ledger.v1.ledger_service_pb2 import *  # noqa: F403
from ledger.v1.member_service_pb2 import *  # noqa: F403
from ledger.v1.report_service_pb2 import *  # noqa: F403
from ledger.v1.template_pb2 import *  # noqa: F403
