#!/usr/bin/env bash
# Makes a Rust toolchain for guests (wasm32-wasip2) from packages of Debian, for machines where rustup cannot download
# the target. Needs Debian 12 and root or sudo; takes about two minutes.
#
#   install.sh DIR
#
# Then `DIR/bin/cargo build --target wasm32-wasip2` makes a component. The packages are unpacked into DIR; only the
# linker and two libraries are installed into the system.
set -euo pipefail

dir=${1:?usage: install.sh DIR}
if [ -e "$dir/.complete" ]; then
  exit 0
fi
. /etc/os-release
if [ "${ID:-}" != debian ] || [ "${VERSION_ID:-}" != 12 ]; then
  echo "the guest toolchain can be made from packages on Debian 12 only; this is ${PRETTY_NAME:-unknown}." >&2
  echo "Elsewhere install it with: rustup target add wasm32-wasip2" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
  as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
rm -rf "$dir"
mkdir -p "$dir/packages" "$dir/lists/partial" "$dir/bin"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "guest toolchain: system packages lld-22 libllvm22 libgit2-1.5 libssh2-1 gcc libc6-dev"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends lld-22 libllvm22 libgit2-1.5 libssh2-1 gcc libc6-dev >/dev/null

# The compiler and its sources. The newest rustc of Debian 12 is the one its browsers are built with; unpacked beside
# the system it is in nobody's way. The name of its standard library's package carries the version.
std=$(apt-cache depends libstd-rust-web-dev | sed -n 's/.*Depends: \(libstd-rust-web-[0-9.]*\).*/\1/p' | head -n 1)
echo "guest toolchain: rustc-web cargo-web rust-web-llvm rust-web-src libstd-rust-web-dev $std, unpacked into $dir"
(cd "$dir/packages" &&
  apt-get download -qq rustc-web cargo-web rust-web-llvm rust-web-src libstd-rust-web-dev "$std")

# The C library for this target first came with a later suite. It holds nothing that depends on the machine. The
# archive and its key are those of the system's own sources.
read -r archive key < <(
  cat /etc/apt/sources.list.d/debian.sources 2>/dev/null |
    awk '/^URIs:/ && !uri {uri = $2} /^Signed-By:/ && !key {key = $2} END {print uri, key}'
)
if [ -z "${archive:-}" ]; then
  archive=$(awk '$1 == "deb" {for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) {print $i; exit}}' /etc/apt/sources.list)
fi
key=${key:-/usr/share/keyrings/debian-archive-keyring.gpg}
echo "deb [signed-by=$key] $archive forky main" >"$dir/sources.list"
later=(-o "Dir::State::Lists=$dir/lists" -o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=-)
echo "guest toolchain: wasi-libc of a later suite, unpacked into $dir"
apt-get "${later[@]}" update -qq
(cd "$dir/packages" && apt-get "${later[@]}" download -qq wasi-libc)

for package in "$dir"/packages/*.deb; do
  dpkg-deb --extract "$package" "$dir/root"
done
usr=$dir/root/usr
ln -sf /usr/bin/lld-22 "$usr/bin/lld-22"
ln -sf /usr/bin/wasm-ld-22 "$usr/bin/wasm-ld"
for program in cargo rustc; do
  cat >"$dir/bin/$program" <<WRAPPER
#!/bin/sh
here=\$(dirname "\$(readlink -f "\$0")")/../root/usr
export LD_LIBRARY_PATH="\$here/lib/x86_64-linux-gnu" RUSTC="\$here/bin/rustc" PATH="\$here/bin:\$PATH"
exec "\$here/bin/$program" "\$@"
WRAPPER
  chmod +x "$dir/bin/$program"
done

# The standard library for the target is compiled once and put where the compiler looks for it; with bitcode, since
# guests are linked with LTO.
echo "guest toolchain: the standard library, compiled"
mkdir -p "$work/src"
echo '#![no_std]' >"$work/src/lib.rs"
cat >"$work/Cargo.toml" <<MANIFEST
[package]
name = "only_std"
version = "0.0.0"
edition = "2024"

[profile.release]
panic = "abort"
MANIFEST
(cd "$work" && RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$work/target" \
  CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS="-Clink-self-contained=no -Cembed-bitcode=yes" \
  "$dir/bin/cargo" build -q --release -Z build-std=std,panic_abort,panic_unwind --target wasm32-wasip2)
lib=$usr/lib/rustlib/wasm32-wasip2/lib
rm -rf "$lib"
mkdir -p "$lib/self-contained"
find "$work/target/wasm32-wasip2/release/deps" -name '*.rlib' ! -name 'libonly_std-*' -exec cp -t "$lib" {} +
cp "$usr"/lib/wasm32-wasip2/crt1*.o "$usr"/lib/wasm32-wasip2/libc.a "$lib/self-contained/"

rm -rf "$dir/packages" "$dir/lists" "$dir/sources.list"
touch "$dir/.complete"
echo "guest toolchain: $("$dir/bin/rustc" --version) in $dir"
