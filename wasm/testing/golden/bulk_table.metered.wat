(module
  (type (;0;) (func (param i32)))
  (func $all (type 0) (param $size i32)
    (local i32)
    global.get 0
    i64.const 182
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    i32.const 0
    i32.const 0
    local.get $size
    local.tee 1
    global.get 0
    local.get 1
    i64.extend_i32_u
    i64.const 5
    i64.shl
    i64.const 0
    local.get 1
    i64.extend_i32_u
    i64.const 1
    i64.le_u
    select
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    table.init $first $some
    i32.const 0
    i32.const 1
    local.get $size
    local.tee 1
    global.get 0
    local.get 1
    i64.extend_i32_u
    i64.const 5
    i64.shl
    i64.const 0
    local.get 1
    i64.extend_i32_u
    table.size $first
    i64.extend_i32_u
    i64.le_u
    select
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    table.copy $first $second
    i32.const 0
    ref.null func
    local.get $size
    local.tee 1
    global.get 0
    local.get 1
    i64.extend_i32_u
    i64.const 5
    i64.shl
    i64.const 0
    local.get 1
    i64.extend_i32_u
    table.size $first
    i64.extend_i32_u
    i64.le_u
    select
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    table.fill $first
    ref.null func
    local.get $size
    local.tee 1
    global.get 0
    local.get 1
    i64.extend_i32_u
    i64.const 6
    i64.shl
    i64.const 0
    local.get 1
    i64.extend_i32_u
    i64.const 16
    table.size $second
    i64.extend_i32_u
    i64.sub
    i64.le_u
    select
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    table.grow $second
    drop
    elem.drop $some)
  (table $first 2 4997 funcref)
  (table $second 8 16 funcref)
  (global (;0;) (mut i64) (i64.const 500))
  (global (;1;) (mut i32) (i32.const 0))
  (export "arqon_fuel" (global 0))
  (export "arqon_height" (global 1))
  (elem $some func $all))
