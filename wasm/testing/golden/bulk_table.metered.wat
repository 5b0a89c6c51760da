(module
  (type (;0;) (func (param i32)))
  (func (;0;) (type 0) (param i32)
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
    local.get 0
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
    table.init 0
    i32.const 0
    i32.const 1
    local.get 0
    local.tee 1
    global.get 0
    local.get 1
    i64.extend_i32_u
    i64.const 5
    i64.shl
    i64.const 0
    local.get 1
    i64.extend_i32_u
    table.size 0
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
    table.copy 0 1
    i32.const 0
    ref.null func
    local.get 0
    local.tee 1
    global.get 0
    local.get 1
    i64.extend_i32_u
    i64.const 5
    i64.shl
    i64.const 0
    local.get 1
    i64.extend_i32_u
    table.size 0
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
    table.fill 0
    ref.null func
    local.get 0
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
    table.size 1
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
    table.grow 1
    drop
    elem.drop 0)
  (table (;0;) 2 4997 funcref)
  (table (;1;) 8 16 funcref)
  (global (;0;) (mut i64) (i64.const 500))
  (global (;1;) (mut i32) (i32.const 0))
  (export "arqon_fuel" (global 0))
  (export "arqon_height" (global 1))
  (elem (;0;) func 0))
