# Shared by the scripts in this folder: source it, never run it.
#
# It enters the checkout's root, so that a script works from any directory, and offers
#   say TEXT...             a line of progress, on standard error
#   die CAUSE CURE...       `error: CAUSE`, the cure on lines of their own, exit 2
#   ensure_environment      make `.venv` and the editable install, or do nothing when they are current
# shellcheck shell=bash

set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
cd -- "$root"

venv=$root/.venv
python=$venv/bin/python
build=$root/.build

say() { printf '%s\n' "$*" >&2; }

die() {
    local cause=$1
    shift
    printf 'error: %s\n' "$cause" >&2
    if (($#)); then printf '  %s\n' "$@" >&2; fi
    exit 2
}

# What the environment is made of: a change in any of these makes it anew (seconds, mostly caches).
environment_key() {
    local system_python
    system_python=$(/usr/bin/python3 -c 'import sys; print(sys.version)')
    {
        printf '%s\n' "$root" "$system_python"
        cat pyproject.toml scripts/_lib.sh scripts/_environment.sh scripts/_rebuild_on_import.py
    } | sha256sum | cut -d ' ' -f 1
}

environment_is_current() {
    [[ -x $python && -f $venv/rdmaq-key && $(<"$venv/rdmaq-key") == "$1" ]] &&
        [[ -f $build/extension-built && -f $build/environment.lock ]]
}

# Returns with a shared lock held until this process and what it becomes by `exec` have ended, so that
# no other script makes the environment anew under a running one.
ensure_environment() {
    # Started by another script of this checkout (a test that runs scripts/demo, say): that one
    # holds the lock, and waiting for it would wait for ever.
    [[ ${RDMAQ_ENVIRONMENT_HELD-} != "$root" ]] || return 0
    # shellcheck source=_environment.sh
    source "$root/scripts/_environment.sh"
    ensure_system_packages
    local key
    key=$(environment_key)
    if ! environment_is_current "$key"; then
        if ! mkdir -p -- "$build" 2>/dev/null || [[ ! -w $build || ! -w $root ]]; then
            die "cannot write in $root, and its environment is not ready" \
                "clone it to a folder of your own: git clone '$root' \"\$HOME/rdmaq\"; run the script there"
        fi
        exec {environment_lock}>>"$build/environment.lock"
        wait_for_lock --exclusive
        environment_is_current "$key" || make_environment "$key"
    else
        exec {environment_lock}<"$build/environment.lock"
    fi
    wait_for_lock --shared
    export RDMAQ_ENVIRONMENT_HELD=$root
}

wait_for_lock() {
    flock --nonblock "$1" "$environment_lock" && return
    say "waiting for another script of this checkout ($build/environment.lock)"
    flock "$1" "$environment_lock"
}
