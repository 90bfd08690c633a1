"""What can be set from outside, and what is in force: argument, else RDMAQ_*, else the default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One thing that an argument or a variable of the environment sets.

    Attributes:
        argument: where a program gives it; it wins over the variable.
        variable: of the environment.
        default: in words.
        is_secret: its value is never shown.
    """

    argument: str
    variable: str
    default: str
    is_secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """What is in force here for a program that gives no argument.

    Attributes:
        source: "environment" or "default".
    """

    setting: Setting
    value: str
    source: str


SETTINGS = (
    Setting(
        argument="(none)",
        variable="RDMAQ_RUNTIME_DIR",
        default="$XDG_RUNTIME_DIR/rdmaq, else /tmp/rdmaq-UID",
    ),
    Setting(
        argument="Credentials.ca_file", variable="RDMAQ_TLS_CA", default="no TLS, or not mutual"
    ),
    Setting(
        argument="Credentials.certificate_file", variable="RDMAQ_TLS_CERTIFICATE", default="none"
    ),
    Setting(argument="Credentials.key_file", variable="RDMAQ_TLS_KEY", default="none"),
    Setting(
        argument="Credentials.server_name", variable="RDMAQ_TLS_SERVER_NAME", default="the host"
    ),
    Setting(
        argument="Credentials.token", variable="RDMAQ_TOKEN", default="none asked", is_secret=True
    ),
    Setting(argument="Credentials.insecure", variable="RDMAQ_INSECURE", default="no"),
    Setting(argument="(none)", variable="RDMAQ_RIG_CACHE", default="the user's cache folder"),
    Setting(argument="(none)", variable="RDMAQ_TEST_DEVICE", default="the rig's devices"),
)


def effective(environment: Mapping[str, str] | None = None) -> list[Effective]:
    """What is in force, setting by setting."""
    found = os.environ if environment is None else environment
    return [
        Effective(
            setting=setting,
            value=("set, not shown" if setting.is_secret else found[setting.variable])
            if found.get(setting.variable)
            else setting.default,
            source="environment" if found.get(setting.variable) else "default",
        )
        for setting in SETTINGS
    ]
