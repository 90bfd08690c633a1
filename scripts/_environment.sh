# How a machine gets what rdmaq needs: sourced by _lib.sh, never run.
#
#   ensure_system_packages   Debian packages, by apt-get, only when something is missing;
#                            QEMU among them where the caller has set needs_rig=1
#   make_environment KEY     .venv from the system's Python, the editable install, the rebuild hook
# shellcheck shell=bash disable=SC2154  # root, venv, python and build are set by _lib.sh

# Each Debian package with a test that it is there and usable (whoever provided it).
missing_packages() {
    local missing=()
    [[ -x /usr/bin/python3 ]] || missing+=(python3)
    /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    local header='import sysconfig, os; print(os.path.join(sysconfig.get_paths()["include"], "Python.h"))'
    [[ -f $(/usr/bin/python3 -c "$header" 2>/dev/null) ]] || missing+=(python3-dev)
    if ! command -v cc >/dev/null || ! printf '#include <stdio.h>\n' | cc -E -x c - >/dev/null 2>&1; then
        missing+=(build-essential)
    fi
    # Headers only: the verbs data path is inline, and nothing links to the library.
    [[ -f /usr/include/infiniband/verbs.h ]] || missing+=(libibverbs-dev)
    # Where there is a device of its own; the rig brings this along for its guests.
    [[ -f /usr/lib/python3/dist-packages/pyverbs/__init__.py ]] || missing+=(python3-pyverbs)
    # The rig, where the tests that need an RDMA device run: scripts/test asks for it, no other.
    if ((${needs_rig-0})) && [[ $(uname -m) == x86_64 ]]; then
        command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
    fi
    printf '%s\n' "${missing[@]}"
}

ensure_system_packages() {
    local packages
    mapfile -t packages < <(missing_packages | sed '/^$/d')
    ((${#packages[@]})) || return 0

    local as_root=()
    if ((EUID != 0)); then
        as_root=(sudo --non-interactive)
        if ! sudo --non-interactive true 2>/dev/null; then
            die "these system packages are missing: ${packages[*]}; you are not root and sudo asks or refuses" \
                "install them once: sudo apt-get install ${packages[*]}" "then run this script again"
        fi
    fi
    command -v apt-get >/dev/null || die \
        "these packages are missing: ${packages[*]}; and this system has no apt-get" \
        "install Python >= 3.11 with venv and headers, and a C compiler; then run this script again"
    say "installing system packages: ${packages[*]}"
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
    if ! "${apt[@]}" install --no-install-recommends "${packages[@]}" </dev/null >&2; then
        # The lists of a fresh machine are empty, those of an old one may be outdated.
        "${apt[@]}" update </dev/null >&2 || true
        "${apt[@]}" install --no-install-recommends "${packages[@]}" </dev/null >&2 || die \
            "apt-get cannot install ${packages[*]}; its own words stand above" \
            "mend apt's configuration or the network, then: apt-get install ${packages[*]}"
    fi
    mapfile -t packages < <(missing_packages | sed '/^$/d')
    if ((${#packages[@]})); then
        die "apt-get installed ${packages[*]}, yet they do not work for /usr/bin/python3 or cc" \
            "look at: /usr/bin/python3 -c 'import ensurepip, venv'; cc --version"
    fi
}

make_environment() {
    local key=$1
    /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die \
        "/usr/bin/python3 is $(/usr/bin/python3 --version 2>&1); rdmaq needs Python 3.11 or newer" \
        "use Debian 12, Ubuntu 24.04 or newer"
    say "preparing $venv (once; some 20 seconds)"
    rm -f "$venv/rdmaq-key"
    # An environment that another Python made, or that was moved here from another path, begins anew.
    local probe='import sys; print(sys.version, sys.argv[1])'
    local own_probe='import sys; print(sys.version, sys.prefix)'
    if [[ "$("$python" -c "$own_probe" 2>/dev/null)" != "$(/usr/bin/python3 -c "$probe" "$venv")" ]]; then
        rm -rf -- "$venv"
        /usr/bin/python3 -m venv "$venv" </dev/null >&2
    fi
    # Dependency groups need pip 25.1; Debian 12 brings 23.
    pip_install --upgrade 'pip>=25.1'
    pip_install --group dev
    # A build folder remembers absolute paths and flags: begin afresh, it takes seconds.
    rm -rf -- "$build"/editable-* "$build"/metadata_editable-*
    touch "$build/extension-built" # before the build: what is edited meanwhile is newer
    # Without isolation the environment's own cmake stays, and with it the rebuild on import.
    pip_install --no-build-isolation -C cmake.define.RDMAQ_DEVELOPMENT=ON --editable .
    install_rebuild_hook
    printf '%s\n' "$key" >"$venv/rdmaq-key"
}

pip_install() {
    local log=$build/pip.log
    mkdir -p "$build"
    # A user's own setting of `user = true` cannot hold inside an environment.
    if ! PATH=$venv/bin:$PATH PIP_USER=0 "$python" -m pip install --quiet --no-input --disable-pip-version-check \
        "$@" </dev/null >"$log" 2>&1; then
        cat "$log" >&2
        die "pip install $* failed; its own words stand above" \
            "if it could not reach its index, check the network and 'pip config list'" \
            "if C did not compile, mend the line that the compiler names; then run this script again"
    fi
}

install_rebuild_hook() {
    local site
    site=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    cp scripts/_rebuild_on_import.py "$site/_rdmaq_rebuild_on_import.py"
    # A .pth line runs at interpreter start, after scikit-build-core's own (in the order of names).
    printf 'import sys, _rdmaq_rebuild_on_import as m; sys.meta_path.insert(0, m.RebuildBeforeImport(%s))\n' \
        "$("$python" -c 'import sys; print(ascii(sys.argv[1]))' "$root")" >"$site/_rdmaq_rebuild.pth"
}
