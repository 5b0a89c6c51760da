;; Table instructions pay by entries; together the tables may hold 10,000.
(module
  (table $first 2 funcref)
  (table $second 8 16 funcref)
  (elem $some func $all)
  (func $all (param $size i32)
    i32.const 0
    i32.const 0
    local.get $size
    table.init $first $some
    i32.const 0
    i32.const 1
    local.get $size
    table.copy $first $second
    i32.const 0
    ref.null func
    local.get $size
    table.fill $first
    ref.null func
    local.get $size
    table.grow $second
    drop
    elem.drop $some))
