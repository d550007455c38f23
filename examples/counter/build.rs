fn main() {
    micro_sdk_build::Proto::new()
        .service("proto/counter.proto")
        .generate();
}
