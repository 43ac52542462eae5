# Shared by the scripts: finds a Python, makes the virtual environment. Sourced, not run.
unset PYTHONDONTWRITEBYTECODE  # a start without compiled files takes many times as long
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
MINOR_WANTED="14 13 12"

# prints the first Python >= 3.12 that really runs (a pyenv shim may exist and refuse)
find_python() {
  local minor candidate
  for candidate in ${PRATIQUE_PYTHON:+"$PRATIQUE_PYTHON"}; do runs "$candidate" && { echo "$candidate"; return; }; done
  for minor in ${1:-13 12 14}; do
    for candidate in "python3.$minor" "$HOME/.pyenv/versions/3.$minor."*/bin/python3 "/opt/homebrew/bin/python3.$minor" "/usr/local/bin/python3.$minor"; do
      runs "$candidate" "$minor" && { echo "$candidate"; return; }
    done
  done
  runs python3 && { echo python3; return; }
  return 1
}

runs() { "$1" -c "import sys, venv, ensurepip; sys.exit(not (sys.version_info >= (3, 12) and ('${2:-}' in ('', str(sys.version_info[1])))))" >/dev/null 2>&1; }

no_python() {
  echo "pratique needs Python 3.12 or newer with venv, and found none. Install it (Debian/Ubuntu: apt install python3.12-venv; macOS: brew install python@3.13; any: pyenv install 3.13) or set PRATIQUE_PYTHON." >&2
  exit 1
}

# make_venv DIR PYTHON: installs once, and again when the pins change
make_venv() {
  local dir=$1 python=$2 stamp
  stamp=$(cat "$ROOT/pyproject.toml" "$ROOT/scripts/constraints.txt" | cksum)
  [ -x "$dir/bin/python" ] && [ "$(cat "$dir/.pratique-stamp" 2>/dev/null)" = "$stamp" ] && return
  echo "making $(basename "$dir") with $("$python" --version 2>&1) (once, a few minutes)" >&2
  rm -rf "$dir"
  "$python" -m venv "$dir" || exit 1
  "$dir/bin/python" -m pip install --disable-pip-version-check --require-hashes --no-deps ${PIP_PROGRESS:---progress-bar on} -r "$ROOT/scripts/constraints.txt" >&2 || exit 1
  # this checkout itself: its packages on the path (a plain path, nothing is run at start-up), and the command
  echo "$ROOT/addons" > "$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/pratique.pth"
  printf '#!%s\nfrom pratique.cli import main\n\nmain()\n' "$dir/bin/python" > "$dir/bin/pratique"
  chmod +x "$dir/bin/pratique"
  echo "$stamp" > "$dir/.pratique-stamp"
}
