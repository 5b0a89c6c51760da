;; Each arm pays for itself, what follows both is paid for before them.
(module
  (func $choose (param $n i32) (result i32)
    local.get $n
    if (result i32)
      i32.const 1
    else
      local.get $n
      i32.const 2
      i32.mul
    end
    i32.const 3
    i32.add))
