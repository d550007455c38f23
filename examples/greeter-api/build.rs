fn main() {
    micro_sdk_build::Proto::new()
        .service("proto/api.proto")
        .client("proto/greeter.proto")
        .generate();
}
