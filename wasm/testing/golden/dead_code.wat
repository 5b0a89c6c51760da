;; What control never reaches is in no charge: not behind br, return or unreachable, not behind a block
;; that nothing leaves by its end.
(module
  (func $never (result i32)
    block $out
      br $out
      i32.const 1
      i32.const 2
      i32.div_s
      drop
    end
    loop $ever
      br $ever
    end
    i32.const 3
    i32.const 4
    i32.add))
