;; A loop pays at its head, once a round; what follows br_if and the loop's end is a block of its own
;; or part of the one before the loop. The units left are kept in a local.
(module
  (func $count (param $n i32) (result i32)
    loop $again
      local.get $n
      i32.const 1
      i32.sub
      local.tee $n
      br_if $again
    end
    local.get $n))
