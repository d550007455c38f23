fn main() {
    micro_sdk_build::Proto::new()
        .service("proto/files.proto")
        .generate();
}
