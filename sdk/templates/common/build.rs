fn main() {
    micro_sdk_build::Proto::new()
        .service("proto/__alias__.proto")
        .generate();
}
