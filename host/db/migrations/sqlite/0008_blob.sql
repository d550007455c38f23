-- Blobs: what is known of each but its bytes, which lie under the name `object` in a folder or a bucket.

-- `digest`: SHA-256 of the bytes, hexadecimal. `public`: anyone may read it. Keys are in bytewise order.
CREATE TABLE blobs (
    namespace TEXT NOT NULL,
    service TEXT NOT NULL,
    blob_key TEXT NOT NULL,
    object TEXT NOT NULL,
    size BIGINT NOT NULL,
    content_type TEXT NOT NULL,
    digest TEXT NOT NULL,
    public BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    PRIMARY KEY (namespace, service, blob_key)
);
CREATE UNIQUE INDEX blobs_by_object ON blobs (object);
