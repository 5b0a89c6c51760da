;; Growing pays 65,536 a page, zero-extended and before it is tried; the maximum becomes the limit.
(module
  (memory (export "memory") 1)
  (func $grow (param $pages i32) (result i32)
    local.get $pages
    memory.grow))
