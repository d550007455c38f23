fn main() {
    micro_sdk_build::Proto::new()
        .service("proto/notifier.proto")
        .generate();
}
