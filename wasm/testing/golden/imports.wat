;; Every import gets a thunk that pays, 1,000 and one a byte, and whatever named the import names the
;; thunk: calls, exports, ref.func, element segments, globals.
(module
  (import "arqon_host_v1" "host_log" (func $log (param i32 i32 i32)))
  (import "arqon_host_v1" "host_get_payload" (func $payload (result i32)))
  (table 3 funcref)
  (elem (i32.const 0) func $log $payload $run)
  (elem declare func $log)
  (global $kept (mut funcref) (ref.func $payload))
  (export "log" (func $log))
  (func $run
    i32.const 1
    i32.const 0
    i32.const 5
    call $log
    ref.func $log
    global.set $kept))
