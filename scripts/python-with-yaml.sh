#!/usr/bin/env bash
#
# Prints the Python that has the module yaml: the one on the PATH, or Debian's, for which
# python3-yaml is and which another one may hide.
set -euo pipefail

for python in python3 /usr/bin/python3; do
    if "$python" -c 'import yaml' 2>/dev/null; then
        echo "$python"
        exit
    fi
done
echo "no Python has the module yaml: scripts/bootstrap.sh test" >&2
exit 1
