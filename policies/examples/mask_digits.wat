;; Replaces each digit of a message by an asterisk, so that no card or phone number passes. A policy of
;; version 2 of the ABI (../ABI_V2.md), without an SDK: every call begins with the globals and the memory
;; below, so that the allocator has nothing to free.
(module
  (import "arqon_host_v2" "host_get_payload" (func $host_get_payload (result i32)))
  (import "arqon_host_v2" "host_set_payload" (func $host_set_payload (param i32 i32)))
  (memory (export "memory") 1)
  ;; Where the next value of the host goes.
  (global $free (mut i32) (i32.const 1024))

  ;; Takes the next bytes, and as many pages as they need; 0 when there is no room.
  (func (export "arqon_alloc") (param $size i32) (result i32)
    (local $at i32) (local $pages i32)
    (local.set $at (global.get $free))
    (global.set $free (i32.add (local.get $at) (local.get $size)))
    (local.set $pages
      (i32.sub
        (i32.shr_u (i32.add (global.get $free) (i32.const 65535)) (i32.const 16))
        (memory.size)))
    (if (i32.gt_s (local.get $pages) (i32.const 0))
      (then
        (if (i32.lt_s (memory.grow (local.get $pages)) (i32.const 0))
          (then (return (i32.const 0))))))
    (local.get $at))

  (func (export "arqon_on_message") (result i32)
    (local $payload i32) (local $at i32) (local $end i32) (local $masked i32)
    (local.set $payload (i32.add (call $host_get_payload) (i32.const 4)))
    (local.set $at (local.get $payload))
    (local.set $end
      (i32.add (local.get $payload)
        (i32.load (i32.sub (local.get $payload) (i32.const 4)))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        ;; "0" is 48, and "*" 42.
        (if (i32.lt_u (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)) (i32.const 10))
          (then
            (i32.store8 (local.get $at) (i32.const 42))
            (local.set $masked (i32.const 1))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    ;; A message without digits stays as it is, and is not marked.
    (if (local.get $masked)
      (then
        (call $host_set_payload (local.get $payload)
          (i32.sub (local.get $end) (local.get $payload)))))
    (i32.const 0)))
