(module
  (type (;0;) (func (param i32)))
  (func (;0;) (type 0) (param i32)
    (local i32)
    global.get 0
    i64.const 269
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    i32.const 0
    i32.const 1
    local.get 0
    local.tee 1
    global.get 0
    local.get 1
    i64.extend_i32_u
    i64.const 15
    i64.add
    i64.const 4
    i64.shr_u
    i64.const 0
    local.get 1
    i64.extend_i32_u
    memory.size
    i64.extend_i32_u
    i64.const 16
    i64.shl
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
    memory.fill
    i32.const 0
    i32.const 8
    local.get 0
    local.tee 1
    global.get 0
    local.get 1
    i64.extend_i32_u
    i64.const 15
    i64.add
    i64.const 4
    i64.shr_u
    i64.const 0
    local.get 1
    i64.extend_i32_u
    memory.size
    i64.extend_i32_u
    i64.const 16
    i64.shl
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
    memory.copy
    i32.const 0
    i32.const 0
    local.get 0
    local.tee 1
    global.get 0
    local.get 1
    i64.extend_i32_u
    i64.const 15
    i64.add
    i64.const 4
    i64.shr_u
    i64.const 0
    local.get 1
    i64.extend_i32_u
    i64.const 5
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
    memory.init 0
    data.drop 0)
  (memory (;0;) 1 4)
  (global (;0;) (mut i64) (i64.const 500))
  (global (;1;) (mut i32) (i32.const 0))
  (export "arqon_fuel" (global 0))
  (export "arqon_height" (global 1))
  (data (;0;) "hello"))
