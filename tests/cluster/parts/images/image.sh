# Images without a registry or a daemon: a tar in OCI layout.
# shellcheck shell=bash

# Moves a file into the layout of the current folder; prints its descriptor.
blob() {
  local type=$1 file=$2 extra=${3:-} sum size
  sum=$(sha256sum "$file" | cut -d' ' -f1)
  size=$(stat -c %s "$file")
  mv "$file" "blobs/sha256/$sum"
  printf '{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%d%s}' "$type" "$sum" "$size" "$extra"
}

reproducible_tar() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -c "$@"; }

# make_image TAR REFERENCE PROGRAM: an image that holds one static program only,
# started without privileges.
make_image() {
  local tar reference=$2 program name dir layer config manifest diff
  tar=$(realpath "$1")
  program=$(realpath "$3")
  name=$(basename "$program")
  dir=$(mktemp -d)
  (
    cd "$dir" || exit
    mkdir -p blobs/sha256
    reproducible_tar -C "$(dirname "$program")" "$name" >layer.tar
    diff=$(sha256sum layer.tar | cut -d' ' -f1)
    gzip -n layer.tar
    layer=$(blob layer.v1.tar+gzip layer.tar.gz)
    printf '{"architecture":"%s","os":"linux","config":{"User":"65532:65532","Entrypoint":["/%s"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
      "$(go env GOARCH)" "$name" "$diff" >config
    config=$(blob config.v1+json config)
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' "$config" "$layer" >manifest
    manifest=$(blob manifest.v1+json manifest ",\"annotations\":{\"io.containerd.image.name\":\"$reference\"}")
    printf '{"schemaVersion":2,"manifests":[%s]}' "$manifest" >index.json
    printf '{"imageLayoutVersion":"1.0.0"}' >oci-layout
    reproducible_tar blobs index.json oci-layout >"$tar"
  )
  rm -rf "$dir"
}
