;; The two globals come behind the module's own.
(module
  (global $mine (export "mine") i32 (i32.const 7))
  (func $get (result i32)
    global.get $mine))
