#!/bin/sh
# Starts Atelier Z; the first start sets it up in .venv.
#   ./start.sh [arguments of app.py]     ./start.sh test [arguments of pytest]
# ATELIER_TORCH=cpu|cu126|cu130|rocm overrules the choice of PyTorch; PYTHON names the Python to use.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
unset PYTHONPATH PYTHONHOME

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" && printf '%s\n' "$PYTHON" && return
        echo "PYTHON=$PYTHON does not start a Python 3.11 or newer." >&2
        return 1
    fi
    for name in python3 python3.12 python3.13 python3.11 python3.14 python; do
        is_new_enough "$name" && printf '%s\n' "$name" && return
    done
    echo "No Python 3.11 or newer was found. Install one (https://www.python.org/downloads) and start again." >&2
    return 1
}

set_up() {
    (cd -- "$here" && "$python" -m engine.setup.install "$@")
}

python=$(find_python)
if [ "${1:-}" = test ]; then
    shift
    set_up --tests
    cd -- "$here"
    # One file of tests a process at a time; each process computes in one thread.
    exec env OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder "$@"
fi
set_up
exec "$here/.venv/bin/python" "$here/app.py" "$@"
