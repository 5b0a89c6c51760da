(module
  (type (;0;) (func (param i32) (result i32)))
  (func (;0;) (type 0) (param i32) (result i32)
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
    local.get 0)
  (func (;1;) (type 0) (param i32) (result i32)
    global.get 0
    i64.const 10
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    global.get 1
    i32.const 11
    i32.add
    global.set 1
    global.get 1
    i32.const 32768
    i32.gt_u
    if  ;; label = @1
      unreachable
    end
    block (result i32)  ;; label = @1
      local.get 0
      i32.eqz
      if  ;; label = @2
        global.get 0
        i64.const 4
        i64.sub
        global.set 0
        global.get 0
        i64.const 0
        i64.lt_s
        if  ;; label = @3
          unreachable
        end
        i32.const 0
        br 1 (;@1;)
      end
      global.get 0
      i64.const 9
      i64.sub
      global.set 0
      global.get 0
      i64.const 0
      i64.lt_s
      if  ;; label = @2
        unreachable
      end
      local.get 0
      call 0
      i32.const 1
      i32.sub
      call 1
    end
    global.get 1
    i32.const 11
    i32.sub
    global.set 1)
  (global (;0;) (mut i64) (i64.const 500))
  (global (;1;) (mut i32) (i32.const 0))
  (export "arqon_fuel" (global 0))
  (export "arqon_height" (global 1)))
