#!/usr/bin/env bash
# The steps of the action that are its own: `find` finds or fetches build-mem, `measure` runs the build, writes the job's
# summary and compares with the baseline. action.yml gives the inputs as variables, GitHub the rest.
set -euo pipefail

# GitHub shows these beside the job. A line break would end one.
tell() {
  local kind=$1 text=$2
  text=${text//%/%25}
  text=${text//$'\r'/%0D}
  echo "::$kind title=build-mem::${text//$'\n'/%0A}"
}

output() { echo "$1=$2" >> "$GITHUB_OUTPUT"; }

summarize() { cat >> "$GITHUB_STEP_SUMMARY"; }

fail() {
  tell error "$1"
  printf '**build-mem**: %s\n' "$1" | summarize
  exit "${2:-125}"
}

find_build_mem() {
  if [ -n "$VERSION" ]; then
    local name="build-mem-$VERSION-x86_64-linux" folder="$RUNNER_TEMP/build-mem"
    mkdir -p "$folder"
    for file in "$name.tar.gz" SHA256SUMS; do
      curl --fail --silent --show-error --location --output "$folder/$file" "$RELEASES/v$VERSION/$file" ||
        fail "cannot fetch $RELEASES/v$VERSION/$file"
    done
    (cd "$folder" && grep --fixed-strings " $name.tar.gz" SHA256SUMS | sha256sum --check --strict --quiet) ||
      fail "$name.tar.gz is not what its SHA256SUMS says"
    tar --extract --file "$folder/$name.tar.gz" --directory "$folder"
    BINARY="$folder/$name/build-mem"
  fi
  BINARY=$(command -v "$BINARY") ||
    fail "build-mem is not there: give the action a \`version\` to fetch, or the path of the \`binary\`"
  "$BINARY" --version
  output binary "$(realpath "$BINARY")"
}

# One value of the result, which is a JSON file: $1 is what precedes it.
value() { tr -d ' \n' < "$result" | sed -n "s/.*$1\\(\"[^\"]*\"\\|[0-9]*\\)[,}].*/\\1/p" | tr -d '"'; }

measure() {
  local folder=.build-mem
  local baseline=$folder/baseline

  local arguments=(run --label "$LABEL" --force)
  [ -z "$COMMAND" ] || arguments+=(--build-cmd "$COMMAND")
  [ -z "$BUDGET" ] || arguments+=(--budget "$BUDGET")
  [ -z "$MEMORY" ] || arguments+=(--memory "$MEMORY")
  # Words and quotes as in a shell, but nothing is expanded or run.
  if [ -n "$OPTIONS" ]; then
    local words
    readarray -d '' words < <(xargs printf '%s\0' <<< "$OPTIONS")
    arguments+=("${words[@]}")
  fi

  # Those of an earlier job are there where a machine keeps its files.
  rm -f "$folder"/re{cording,sult}-"$LABEL"{,.[0-9]*}.json*
  local code=0
  # Where we are not root, build-mem calls sudo itself, and the build stays ours.
  "$BINARY" "${arguments[@]}" || code=$?
  # With `--runs N` there are N, with a number each; the last one is shown, and all are compared.
  local recordings last
  readarray -t recordings < <(found "$folder/recording-$LABEL"{,.[0-9]*}.jsonl)
  local not_measured="the build was not measured: exit code $code, see the log"
  [ "${#recordings[@]}" -gt 0 ] || fail "$not_measured" "$code"
  last=$(basename "${recordings[-1]}" .jsonl)
  last=${last#recording-}
  result=$folder/result-$last.json
  [ -s "$result" ] || fail "$not_measured" "$code"

  output result "$PWD/$result"
  output verdict "$(value '"verdict":')"
  output peak-bytes "$(value '"headline":{"bytes":')"
  "$BINARY" report "$last" --format markdown | summarize
  case $code in
    0) ;;
    121) tell error "the build passed, but an artifact is missing" ;;
    122) tell error "the build needed more memory than its budget${BUDGET:+ of $BUDGET}" ;;
    123) tell error "the build passed, but not everything was seen" ;;
    *) tell error "the build failed: exit code $code, $(value '"verdict":')" ;;
  esac

  local comparison=none
  case $code in
    0 | 122 | 123) ! has_baseline || compare ;;
  esac
  output comparison "$comparison"

  if [ "$code" = 0 ] && becomes_baseline; then
    rm -rf "$baseline"
    mkdir "$baseline"
    cp "${recordings[@]}" "$baseline"
    output store true
  fi
  if [ "$code" = 0 ] && [ "$comparison" = regression ]; then
    code=122
  fi
  exit "$code"
}

# Those of the files that are there, in the order of their numbers.
found() { for path; do [ ! -s "$path" ] || echo "$path"; done | sort --version-sort; }

# As `compare` takes several runs.
joined() { (IFS=,; echo "$*"); }

has_baseline() { [ -n "$BASELINE_KEY" ] && [ -n "$(found "$baseline"/*)" ]; }

# Compares this run with the baseline, and says what came of it in `comparison`.
compare() {
  local limit=() compared=0 text why="$RUNNER_TEMP/build-mem-compare"
  [ -z "$FAIL_ABOVE" ] || limit=(--fail-above "$FAIL_ABOVE")
  text=$("$BINARY" compare "$(joined "$baseline"/*)" "$(joined "${recordings[@]}")" --format markdown "${limit[@]}" 2> "$why") || compared=$?
  printf '\n%s\n' "$text" | summarize
  case $compared in
    0) comparison=passed ;;
    122)
      comparison=regression
      tell error "the build needs over $FAIL_ABOVE more memory than the baseline"
      printf '\n**Regression**: the peak grew by more than %s since the baseline.\n' "$FAIL_ABOVE" | summarize
      ;;
    *)
      # Another runner's kernel, say: no fault of the build's. Where this run becomes the baseline, the next is compared.
      comparison=refused
      [ -s "$why" ] || echo "one of the peaks is not known" > "$why"
      tell warning "not compared with the baseline: $(cat "$why")"
      printf '\nNot compared with the baseline:\n\n%s\n' "$(sed 's/^/    /' "$why")" | summarize
      ;;
  esac
}

becomes_baseline() {
  [ -n "$BASELINE_KEY" ] || return 1
  [ "$comparison" != regression ] || [ "$SAVE_BASELINE" = always ] || return 1
  case $SAVE_BASELINE in
    always) ;;
    auto) ! has_baseline || [ "$GITHUB_REF" = "refs/heads/$DEFAULT_BRANCH" ] ;;
    *) return 1 ;;
  esac
}

case ${1-} in
  find) find_build_mem ;;
  measure) measure ;;
  *)
    echo "usage: build-mem.sh find|measure" >&2
    exit 2
    ;;
esac
