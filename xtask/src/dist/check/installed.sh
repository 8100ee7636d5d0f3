#!/bin/sh
# Installs the package $1 into the empty folder $2, uses it there, and removes it. Nothing else is installed there: neither a
# C library nor a shell; but for the doctor, who tries PSS with a shell of another user. Run in a mount namespace of its own.
set -eu
package=$1 root=$2 version=$3
fail() { echo "$*" >&2; exit 1; }

mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/triggers"
: > "$root/var/lib/dpkg/status"
mkdir "$root/dev" "$root/proc" "$root/sys" "$root/tmp"
files() { find "$root" -path "$root/var/lib/dpkg" -prune -o -xdev ! -type d -print | sort; }
before=$(files)
dpkg() { command dpkg --root="$root" --log=/dev/null "$@" > /dev/null; }

dpkg --install "$package"
dpkg --verify build-mem
for path in usr/bin/build-mem usr/share/man/man1/build-mem.1.gz usr/share/man/man1/build-mem-run.1.gz \
  usr/share/bash-completion/completions/build-mem usr/share/zsh/vendor-completions/_build-mem \
  usr/share/fish/vendor_completions.d/build-mem.fish usr/share/doc/build-mem/copyright; do
  [ -s "$root/$path" ] || fail "the package did not install /$path"
done

for folder in dev proc sys; do mount --rbind "/$folder" "$root/$folder"; done
installed() { chroot "$root" /usr/bin/build-mem "$@"; }
said=$(installed --version)
[ "$said" = "build-mem $version" ] || fail "the installed program says it is $said"

shell=/bin/sh
for file in "$shell" $(ldd "$shell" | grep --only-matching '/[^ ]*'); do install -D "$file" "$root$file"; done
installed doctor > "$root/doctor" || fail "the installed doctor found: $(cat "$root/doctor")"
installed run --out-dir /tmp/measured --label x --strict --json-only -- /usr/bin/build-mem --version > "$root/result" ||
  fail "a run of the installed program failed with $?"
grep -q '"verdict":"pass"' "$root/result" || fail "a run of the installed program: $(cat "$root/result")"
for file in "$shell" $(ldd "$shell" | grep --only-matching '/[^ ]*'); do rm "$root$file"; done
rm -r "$root/tmp/measured" "$root/doctor" "$root/result"
for folder in dev proc sys; do umount --recursive --lazy "$root/$folder"; done

dpkg --purge build-mem
[ "$(files)" = "$before" ] || fail "left behind: $(files)"
[ ! -e "$root/usr" ] || fail "left behind: $(find "$root/usr")"
