#!/bin/sh
# Builds both images of the folder $1, with its recipe, and runs the program in them; what that takes is in the folder $2.
# There is no base image here that anyone else made: it has one file and a command.
set -eu
image=$1 scratch=$2 version=$3
fail() { echo "$*" >&2; exit 1; }
buildah() { command buildah --root "$scratch/store" --runroot "$scratch/run" --storage-driver vfs "$@"; }
build() { buildah build --quiet --isolation chroot --file "$image/Containerfile" "$@" "$image" > /dev/null; }
config() { buildah inspect --type image --format "{{.OCIv1.Config.$2}}" "$1"; }

base=$(buildah from scratch)
echo base > "$(buildah mount "$base")/of-base"
buildah config --cmd '["/bin/of-base"]' "$base"
buildah commit --quiet "$base" build-mem-base > /dev/null

build --target binary --tag build-mem
build --build-arg BASE=localhost/build-mem-base --tag with-base
[ "$(config build-mem Entrypoint)" = "[/usr/bin/build-mem]" ] || fail "the program is not what its image starts"
[ "$(config with-base Cmd)" = "[/bin/of-base]" ] || fail "the image starts otherwise than its base"
for name in build-mem with-base; do
  container=$(buildah from "localhost/$name")
  said=$(buildah run --isolation chroot "$container" /usr/bin/build-mem --version)
  [ "$said" = "build-mem $version" ] || fail "in $name, the program says it is $said"
  mounted=$(buildah mount "$container")
  [ -s "$mounted/usr/share/doc/build-mem/THIRD-PARTY.md" ] || fail "$name has no licences"
done
[ -e "$mounted/of-base" ] || fail "the image lacks what its base has"
