;; What follows br_if starts a block; behind the end of the block that it leaves for, everything
;; meets again and is paid for up front.
(module
  (func $skip (param $n i32)
    block $out
      local.get $n
      br_if $out
      i32.const 1
      drop
    end
    i32.const 2
    i32.const 3
    drop
    drop))
