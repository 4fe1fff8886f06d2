#!/bin/sh
# Restores the environment of this bundle and merges its adapter: without envpin, without a network.
# Needs a POSIX shell and, unless the bundle brings one along, the Python that bundle.json names.
set -eu

main() {
    here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
    out='' base='' env='' python=''
    while [ $# -gt 0 ]; do
        case $1 in
            -o | --output) [ $# -gt 1 ] || usage; out=$2; shift 2 ;;
            --base) [ $# -gt 1 ] || usage; base=$2; shift 2 ;;
            --env) [ $# -gt 1 ] || usage; env=$2; shift 2 ;;
            --python) [ $# -gt 1 ] || usage; python=$2; shift 2 ;;
            *) usage ;;
        esac
    done
    [ -n "$env" ] || env="$here-env"
    check
    find_python
    # It checks every file once more before it installs the first one.
    "$python" -I -B "$here/restore/install.py" "$here" "$env"
    if [ -n "$out" ]; then
        "$env/bin/python" -I -B -X utf8 "$here/restore/merge.py" "$here" "$out" "$base"
    fi
}

usage() {
    echo "usage: sh restore.sh [-o OUT] [--base FOLDER] [--env FOLDER] [--python PYTHON]" >&2
    exit 2
}

refuse() {
    echo "error: this bundle was changed: $1; nothing was installed" >&2
    exit 5
}

check() {
    cd "$here"
    [ -f SHA256SUMS ] || refuse "SHA256SUMS is missing"
    [ -z "$(find . ! -type f ! -type d)" ] || refuse "it holds links or devices"
    listed=$(wc -l < SHA256SUMS)
    there=$(find . -type f ! -path ./SHA256SUMS | wc -l)
    [ "$listed" -eq "$there" ] || refuse "$listed files are listed and $there are there"
    if command -v sha256sum > /dev/null 2>&1; then
        sha256sum -c SHA256SUMS > /dev/null 2>&1 || refuse "a file is not as it was made"
    elif command -v shasum > /dev/null 2>&1; then
        shasum -a 256 -c SHA256SUMS > /dev/null 2>&1 || refuse "a file is not as it was made"
    fi
    cd - > /dev/null
}

find_python() {
    wanted=$(sed -n 's/^ *"python": "\([0-9]*\.[0-9]*\).*",$/\1/p' "$here/bundle.json")
    if [ -z "$python" ] && [ -f "$here/python/bin/python$wanted" ]; then
        python="$here/python/bin/python$wanted"
        chmod u+x "$python"
    fi
    [ -n "$python" ] || python=$(command -v "python$wanted" || command -v python3 || true)
    if [ -z "$python" ]; then
        echo "error: Python $wanted was not found; name one with --python" >&2
        exit 3
    fi
    found=$("$python" -I -B -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$found" != "$wanted" ]; then
        echo "error: $python is Python $found, and this bundle is for Python $wanted; name one with --python" >&2
        exit 3
    fi
}

main "$@"
