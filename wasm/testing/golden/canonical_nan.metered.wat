(module
  (type (;0;) (func (param f32)))
  (type (;1;) (func (param f64) (result f64)))
  (type (;2;) (func (param f64) (result i64)))
  (type (;3;) (func (param f32) (result i32)))
  (type (;4;) (func (result f32)))
  (func (;0;) (type 0) (param f32)
    (local f32)
    global.get 0
    i64.const 31
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    i32.const 0
    local.get 0
    local.get 0
    f32.add
    local.tee 1
    f32.const nan (;=nan;)
    local.get 1
    local.get 1
    f32.eq
    select
    f32.store)
  (func (;1;) (type 1) (param f64) (result f64)
    (local f32 f64)
    global.get 0
    i64.const 137
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    local.get 0
    f32.demote_f64
    local.tee 1
    f32.const nan (;=nan;)
    local.get 1
    local.get 1
    f32.eq
    select
    local.get 0
    drop
    f64.promote_f32
    local.tee 2
    f64.const nan (;=nan;)
    local.get 2
    local.get 2
    f64.eq
    select)
  (func (;2;) (type 2) (param f64) (result i64)
    (local f64)
    global.get 0
    i64.const 77
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    local.get 0
    local.get 0
    local.get 0
    f64.mul
    f64.add
    local.tee 1
    f64.const nan (;=nan;)
    local.get 1
    local.get 1
    f64.eq
    select
    i64.reinterpret_f64)
  (func (;3;) (type 3) (param f32) (result i32)
    global.get 0
    i64.const 14
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    local.get 0
    local.get 0
    f32.nearest
    f32.lt)
  (func (;4;) (type 4) (result f32)
    global.get 0
    i64.const 7
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    f32.const nan:0x200001 (;=nan;)
    f32.neg)
  (memory (;0;) 1 1)
  (global (;0;) (mut i64) (i64.const 500))
  (global (;1;) (mut i32) (i32.const 0))
  (export "arqon_fuel" (global 0))
  (export "arqon_height" (global 1)))
