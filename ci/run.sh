#!/usr/bin/env bash
# What CI runs, on a machine where nothing was installed before: lint, then every test.
# Both run even when the first fails, and pytest's own closing line is the last thing printed.
set -uo pipefail
export CI=true
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 2

# What CI alone insists on: shellcheck for lint, clang for the fuzzers, and a cross compiler with an
# emulator for the ring's tests on AArch64. Tests fail in CI where they skip elsewhere.
declare -A package_of=(
    [shellcheck]=shellcheck
    [clang]="clang libclang-rt-dev"
    [aarch64-linux-gnu-gcc]="gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
    [qemu-aarch64]=qemu-user
)
missing=()
for command in "${!package_of[@]}"; do
    # shellcheck disable=SC2206  # several packages a command
    command -v "$command" >/dev/null || missing+=(${package_of[$command]})
done
if ((${#missing[@]})); then
    as_root=()
    ((EUID == 0)) || as_root=(sudo --non-interactive)
    apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
    { "${apt[@]}" install --no-install-recommends "${missing[@]}" ||
        { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${missing[@]}"; }; } </dev/null
fi

status=0
timeout --kill-after=30 600 scripts/lint </dev/null || status=1
timeout --kill-after=30 3600 scripts/test --ci </dev/null || status=1
exit "$status"
