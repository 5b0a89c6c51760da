(module
  (type (;0;) (func (result i32)))
  (func (;0;) (type 0) (result i32)
    (local i64)
    global.get 0
    i64.const 7
    i64.sub
    local.tee 0
    global.set 0
    local.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    block  ;; label = @1
      br 0 (;@1;)
      i32.const 1
      i32.const 2
      i32.div_s
      drop
    end
    loop  ;; label = @1
      local.get 0
      i64.const 2
      i64.sub
      local.tee 0
      global.set 0
      local.get 0
      i64.const 0
      i64.lt_s
      if  ;; label = @2
        unreachable
      end
      br 0 (;@1;)
    end
    i32.const 3
    i32.const 4
    i32.add)
  (global (;0;) (mut i64) (i64.const 500))
  (global (;1;) (mut i32) (i32.const 0))
  (export "arqon_fuel" (global 0))
  (export "arqon_height" (global 1)))
