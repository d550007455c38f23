fn main() {
    micro_sdk_build::Proto::new()
        .service("proto/bad-neighbour.proto")
        .generate();
}
