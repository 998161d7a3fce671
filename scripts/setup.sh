#!/usr/bin/env bash
# Makes a virtual environment with the locked dependencies, the project itself and compiled bytecode.
#   scripts/setup.sh [FOLDER]      (.venv unless given; PYTHON=... chooses the interpreter)
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
    echo "setup: looking for Python: found none of 3.11 or newer." >&2
    echo "Install one (Debian 12, Ubuntu 24.04 and newer: apt-get install python3 python3-venv), or say PYTHON=/path/to/python3 make ..." >&2
    return 1
}

make_venv() {
    local python
    python=$(find_python)
    # Debian and Ubuntu ship venv without what it needs, in a package of its own
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        scripts/system-packages.sh python3-venv
        if ! "$python" -c 'import ensurepip' 2>/dev/null; then
            echo "setup: making $venv: $python has no ensurepip. Install the package python3-venv and try again." >&2
            return 1
        fi
    fi
    "$python" -m venv --clear "$venv"
}

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    echo "setup: making $venv"
    make_venv
fi
echo "setup: installing the locked dependencies into $venv (about a minute)"
# -qq: errors only. Wheels only: nothing of a dependency runs while it is installed
"$venv/bin/python" -m pip install -qq --no-compile --require-hashes --only-binary :all: -r constraints.txt
# the build backend is locked too, so this downloads nothing
"$venv/bin/python" -m pip install -qq --no-compile --no-deps --no-build-isolation --editable .
# Start-up time depends on compiled bytecode, and PYTHONDONTWRITEBYTECODE may be set: compile here, on all cores where
# the system has semaphores, else on one. A package may ship templates that are no Python; their errors do not matter.
"$venv/bin/python" -m compileall -qq -j 0 "$venv/lib" hugflow localhub 2>/dev/null ||
    "$venv/bin/python" -m compileall -qq "$venv/lib" hugflow localhub || true
