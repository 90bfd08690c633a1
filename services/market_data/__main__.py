"""`python -m rdmaq_services.market_data` is `rdmaq-md`."""

import sys

from .cli import main

sys.exit(main())
