;; The policy that costs least: it looks at nothing and allows.
(module
  (memory (export "memory") 1)
  (func (export "arqon_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "arqon_on_message") (result i32) (i32.const 0)))
