;; A handler on `micro:platform-sync` that takes JSON and does as the first letter of the endpoint says.
(module
  (memory (export "memory") 40)
  (global $heap (mut i32) (i32.const 1048576))

  (func $alloc (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (local.get $at))

  ;; Where `handle` puts its result: `ok` with the bytes at `at`.
  (func $ok (param $at i32) (param $length i32) (result i32)
    (i32.store8 (i32.const 1024) (i32.const 0))
    (i32.store (i32.const 1028) (local.get $at))
    (i32.store (i32.const 1032) (local.get $length))
    (i32.const 1024))

  ;; An error of which only the detail is said.
  (func $fail (param $code i32) (result i32)
    (i32.store8 (i32.const 1024) (i32.const 1))
    (i32.store16 (i32.const 1036) (local.get $code))
    (i32.store (i32.const 1040) (i32.const 2048))
    (i32.store (i32.const 1044) (i32.const 4))
    (i32.const 1024))
  (data (i32.const 2048) "boom")
  (data (i32.const 2304) "{\"statusCode\":101}")
  (data (i32.const 2560) "{\"header\":{\"bad name\":{\"key\":\"bad name\",\"values\":[\"x\"]}}}")
  (data (i32.const 2816) "{\"header\":{\"X-Mine\":{\"key\":\"X-Mine\",\"values\":[\"a\\r\\nb: c\"]}}}")

  (data (i32.const 3072) "{\"header\":{\"Set-Cookie\":{\"key\":\"Set-Cookie\",\"values\":[\"good=1; Path=/\",\"micro-token=evil; Path=/\",\"=micro-session=evil\",\"wide=2; Domain=localhost\"]},\"Micro-Id\":{\"key\":\"Micro-Id\",\"values\":[\"forged\"]},\"Micro-Admin\":{\"key\":\"Micro-Admin\",\"values\":[\"forged\"]},\"RateLimit\":{\"key\":\"RateLimit\",\"values\":[\"forged\"]}}}")

  ;; Puts `length` bytes behind what there is at `to`, and says where they end.
  (func $put (param $to i32) (param $from i32) (param $length i32) (result i32)
    (memory.copy (local.get $to) (local.get $from) (local.get $length))
    (i32.add (local.get $to) (local.get $length)))

  ;; All metadata of the call as lines: name=value.
  (func $metadata (param $at i32) (param $count i32) (result i32)
    (local $to i32)
    (local.set $to (i32.const 65536))
    (block $done (loop $next
      (br_if $done (i32.eqz (local.get $count)))
      (local.set $to (call $put (local.get $to) (i32.load (local.get $at)) (i32.load offset=4 (local.get $at))))
      (i32.store8 (local.get $to) (i32.const 61))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))
      (local.set $to (call $put (local.get $to) (i32.load offset=8 (local.get $at)) (i32.load offset=12 (local.get $at))))
      (i32.store8 (local.get $to) (i32.const 10))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br $next)))
    (call $ok (i32.const 65536) (i32.sub (local.get $to) (i32.const 65536))))

  (func (export "micro:platform-sync/handler@0.1.0#handle") (param $at i32) (result i32)
    (local $what i32)
    (local.set $what (i32.load8_u (i32.load offset=72 (local.get $at))))
    (global.set $heap (i32.const 1048576))
    ;; b: a big answer
    (if (i32.eq (local.get $what) (i32.const 98)) (then
      (return (call $ok (i32.const 65536) (i32.const 1000000)))))
    ;; e: an error without a code
    (if (i32.eq (local.get $what) (i32.const 101)) (then (return (call $fail (i32.const 0)))))
    ;; f: an error with one
    (if (i32.eq (local.get $what) (i32.const 102)) (then (return (call $fail (i32.const 409)))))
    ;; s, n, v: a status, a header's name, a header's value that HTTP forbids
    (if (i32.eq (local.get $what) (i32.const 115)) (then
      (return (call $ok (i32.const 2304) (i32.const 18)))))
    (if (i32.eq (local.get $what) (i32.const 110)) (then
      (return (call $ok (i32.const 2560) (i32.const 57)))))
    (if (i32.eq (local.get $what) (i32.const 118)) (then
      (return (call $ok (i32.const 2816) (i32.const 61)))))
    ;; c: cookies and headers that a service must not set, beside one that it may
    (if (i32.eq (local.get $what) (i32.const 99)) (then
      (return (call $ok (i32.const 3072) (i32.const 308)))))
    ;; m: the call's metadata
    (if (i32.eq (local.get $what) (i32.const 109)) (then
      (return (call $metadata (i32.load offset=36 (local.get $at)) (i32.load offset=40 (local.get $at))))))
    ;; i: the id of the account, or nothing
    (if (i32.eq (local.get $what) (i32.const 105)) (then
      (if (i32.load8_u (local.get $at)) (then
        (return (call $ok (i32.load offset=4 (local.get $at)) (i32.load offset=8 (local.get $at))))))
      (return (call $ok (i32.const 0) (i32.const 0)))))
    ;; anything else: echo
    (call $ok (i32.load offset=84 (local.get $at)) (i32.load offset=88 (local.get $at))))
)
