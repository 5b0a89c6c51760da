;; br_table costs 3 and the logarithm of its labels; where it goes further out than the inner block,
;; what follows that block pays for itself.
(module
  (func $pick (param $n i32)
    block $two
      block $one
        block $zero
          local.get $n
          br_table $zero $one $two
        end
        i32.const 10
        drop
        br $two
      end
      i32.const 20
      drop
    end))
