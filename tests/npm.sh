# npm.sh: what the tests share that need packages from npm: `packages`, and the folder `modules` of the user's cache.

cannot_run() {
  [ "${CI-}" != true ] || { echo "FAILED - $*"; echo '0 passed, 1 failed'; exit 1; }
  echo "skipped: $*"
  exit 0
}

install_packages() { # as a whole or not at all
  local new said
  new=$(mktemp -d) || return
  said=$(npm install --prefix "$new" --no-audit --no-fund --no-save --ignore-scripts "${packages[@]}" 2>&1) &&
    mkdir -p "$(dirname "$modules")" && mv -T "$new" "$modules" && return
  rm -rf "$new"
  [ -d "$modules" ] || { echo "${said##*$'\n'}"; return 1; } # unless another run was first
}
