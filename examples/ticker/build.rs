fn main() {
    micro_sdk_build::Proto::new()
        .service("proto/ticker.proto")
        .generate();
}
