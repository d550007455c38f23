fn main() {
    micro_sdk_build::Proto::new()
        .service("proto/limiter.proto")
        .generate();
}
