#!/usr/bin/env bash
# What CI runs, on a machine where nothing was installed before: lint, then every test.
# Both run even when the first fails, and pytest's own closing line is the last thing printed.
set -uo pipefail
export CI=true
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 2

# CI alone insists on this lint tool (shellcheck), so only CI installs it.
if ! command -v shellcheck >/dev/null; then
    as_root=()
    ((EUID == 0)) || as_root=(sudo --non-interactive)
    apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
    { "${apt[@]}" install --no-install-recommends shellcheck ||
        { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends shellcheck; }; } </dev/null
fi

status=0
timeout --kill-after=30 600 scripts/lint </dev/null || status=1
timeout --kill-after=30 1800 scripts/test --ci </dev/null || status=1
exit "$status"
