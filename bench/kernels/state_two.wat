;; Counts the calls of each connection, and of each of its rooms, in keyed state: two keys, read and written
;; by every call.
(module
  (import "arqon_host_v2" "host_state_get" (func $get (param i32) (result i32)))
  (import "arqon_host_v2" "host_state_set" (func $set (param i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\78\00\00\00[{\"key\":\"{connection}\",\"ttl_seconds\":60,\"value_bytes\":8},{\"key\":\"{connection}/{room}\",\"ttl_seconds\":60,\"value_bytes\":8}]")
  (func (export "arqon_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "arqon_state_keys") (result i32) (i32.const 16))
  (func $count (param $slot i32) (local $at i32)
    (local.set $at (call $get (local.get $slot)))
    (i64.store (i32.const 2048) (i64.const 1))
    (if (local.get $at) (then (i64.store (i32.const 2048)
      (i64.add (i64.load offset=4 align=1 (local.get $at)) (i64.const 1)))))
    (call $set (local.get $slot) (i32.const 2048) (i32.const 8)))
  (func (export "arqon_on_message") (result i32)
    (call $count (i32.const 0))
    (call $count (i32.const 1))
    (i32.const 0)))
