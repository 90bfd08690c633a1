"""What can be set from outside, and what is in force: argument, else RDMAQ_*, else the default."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rdmaq.rig import paths
from rdmaq.shm.runtime import runtime_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One thing that an argument or a variable of the environment sets.

    Attributes:
        argument: where a program gives it; it wins over the variable.
        variable: of the environment.
        default: in words.
        is_secret: its value is never shown.
        now: what the default comes to here; None: what `default` says.
    """

    argument: str
    variable: str
    default: str
    is_secret: bool = False
    now: Callable[[], object] | None = None


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
        now=runtime_folder,
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
    Setting(argument="device=", variable="RDMAQ_DEVICE", default="what reaches the other side"),
    Setting(argument="interface=", variable="RDMAQ_INTERFACE", default="what reaches it"),
    Setting(argument="gid_index=", variable="RDMAQ_GID_INDEX", default="the best of the port's"),
    Setting(
        argument="(none)",
        variable="RDMAQ_RIG_CACHE",
        default="$XDG_CACHE_HOME/rdmaq/rig, else ~/.cache/rdmaq/rig",
        now=paths.cache_folder,
    ),
    Setting(
        argument="(none)",
        variable="RDMAQ_RIG_RUNTIME",
        default="$XDG_RUNTIME_DIR/rdmaq-rig, else below /tmp",
        now=paths.runtime_folder,
    ),
    Setting(argument="rig --name", variable="RDMAQ_RIG_NAME", default="the checkout's own"),
    Setting(argument="(none)", variable="RDMAQ_TEST_DEVICE", default="the rig's devices"),
)

# What a rig tells those that run in it: nothing for people to set.
OF_THE_RIG = ("RDMAQ_RIG", "RDMAQ_RIG_NODE", "RDMAQ_RIG_ID", "RDMAQ_RIG_INNER")


def effective(environment: Mapping[str, str] | None = None) -> list[Effective]:
    """What is in force, setting by setting."""
    found = os.environ if environment is None else environment
    return [
        Effective(
            setting=setting,
            value=_shown(setting, found.get(setting.variable, "")),
            source="environment" if found.get(setting.variable) else "default",
        )
        for setting in SETTINGS
    ]


def _shown(setting: Setting, value: str) -> str:
    if value:
        return "set, not shown" if setting.is_secret else value
    return setting.default if setting.now is None else str(setting.now())
