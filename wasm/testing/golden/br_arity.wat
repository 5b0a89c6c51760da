;; A branch costs one for each value that it carries; so does a block for what it takes and gives.
(module
  (func $carry (result i32 i64)
    block $out (result i32 i64)
      i32.const 1
      i64.const 2
      br $out
    end))
