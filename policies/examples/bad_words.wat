;; The policy of bad_words.ts, written by hand: the ABI without any compiler. The algorithm and the
;; layout of the table are those of ../sdk/words.ts. The build puts the bytes of a file where
;; `@file:` names it; all else is plain WebAssembly text.
;;
;; Memory: 16 words, 256 reason, 512 flags of last bytes, 768 window, 1024 folded form of an ASCII
;; byte that ends no word and begins no escape (0 for all others), 4096 table, 52224 heap.
(module
  (import "arqon_host_v1" "host_get_payload" (func $host_get_payload (result i32)))
  (import "arqon_host_v1" "host_reject" (func $host_reject (param i32 i32 i32)))

  (memory (export "memory") 1)

  ;; Each word in its folded form after its length; a length of 0 ends the list.
  (data (i32.const 16)
    "\07malware" "\08phishing" "\0aransomware" "\09schadling" 
    "\0a\d0\b2\d0\b8\d1\80\d1\83\d1\81" ;; вирус
    "\0c\e3\82\a6\e3\82\a4\e3\83\ab\e3\82\b9" ;; ウイルス
    "\00")
  (data (i32.const 256) "a word in this message is not allowed")
  (data (i32.const 4096) "@file:../sdk/fold_table.bin")

  (global $heap (mut i32) (i32.const 52224))
  (global $count (mut i32) (i32.const 0)) ;; folded bytes so far
  (global $found (mut i32) (i32.const 0)) ;; whether a word was among them
  (global $at (mut i32) (i32.const 0)) ;; next byte of the payload
  (global $end (mut i32) (i32.const 0)) ;; first byte after it

  ;; ABI: gives $size bytes to the host; all of it is free again at the next call.
  (func (export "arqon_alloc") (param $size i32) (result i32)
    (local $start i32) (local $next i64) (local $have i64)
    (local.set $start (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (local.set $next
      (i64.add (i64.extend_i32_u (local.get $start)) (i64.extend_i32_u (local.get $size))))
    (local.set $have (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)))
    (if (i64.gt_u (local.get $next) (local.get $have))
      (then
        (if
          (i32.eq
            (memory.grow
              (i32.wrap_i64
                (i64.shr_u
                  (i64.add (i64.sub (local.get $next) (local.get $have)) (i64.const 65535))
                  (i64.const 16))))
            (i32.const -1))
          (then (unreachable)))))
    (global.set $heap (i32.wrap_i64 (local.get $next)))
    (local.get $start))

  ;; Fills the tables at 512 and 1024, at the first call: few bytes are compared with words.
  (func $prepare
    (local $word i32) (local $byte i32) (local $folded i32)
    (if (i32.load8_u (i32.const 1121)) (then (return))) ;; "a"
    (local.set $word (i32.const 16))
    (loop $next
      (if (i32.load8_u (local.get $word))
        (then
          (local.set $word
            (i32.add (local.get $word) (i32.load8_u (local.get $word))))
          (i32.store8 (i32.add (i32.const 512) (i32.load8_u (local.get $word))) (i32.const 1))
          (local.set $word (i32.add (local.get $word) (i32.const 1)))
          (br $next))))
    (loop $next
      (local.set $folded
        (i32.add
          (local.get $byte)
          (i32.shl
            (i32.lt_u (i32.sub (local.get $byte) (i32.const 65)) (i32.const 26))
            (i32.const 5))))
      (if (i32.eqz (i32.load8_u offset=512 (local.get $folded)))
        (then (i32.store8 offset=1024 (local.get $byte) (local.get $folded))))
      (local.set $byte (i32.add (local.get $byte) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $byte) (i32.const 0x80))))
    (i32.store8 (i32.const 1116) (i32.const 0))) ;; backslash

  ;; Whether the folded text so far ends with the word at $word.
  (func $ends_with (param $word i32) (result i32)
    (local $left i32) (local $start i32)
    (local.set $left (i32.load8_u (local.get $word)))
    (local.set $start (i32.sub (global.get $count) (local.get $left)))
    (if (i32.lt_s (local.get $start) (i32.const 0)) (then (return (i32.const 0))))
    (loop $next
      (if
        (i32.ne
          (i32.load8_u (i32.add (local.get $word) (local.get $left)))
          (i32.load8_u offset=768
            (i32.and
              (i32.sub (i32.add (local.get $start) (local.get $left)) (i32.const 1))
              (i32.const 63))))
        (then (return (i32.const 0))))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $next (local.get $left)))
    (i32.const 1))

  ;; Takes the next byte of the folded text.
  (func $push (param $byte i32)
    (local $word i32) (local $last i32)
    (local.set $byte (i32.and (local.get $byte) (i32.const 255)))
    (i32.store8 offset=768 (i32.and (global.get $count) (i32.const 63)) (local.get $byte))
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (if (i32.eqz (i32.load8_u offset=512 (local.get $byte)))
      (then (return)))
    (local.set $word (i32.const 16))
    (loop $next
      (if (i32.load8_u (local.get $word))
        (then
          (local.set $last (i32.add (local.get $word) (i32.load8_u (local.get $word))))
          (if (i32.eq (i32.load8_u (local.get $last)) (local.get $byte))
            (then
              (global.set $found
                (i32.or (global.get $found) (call $ends_with (local.get $word))))))
          (local.set $word (i32.add (local.get $last) (i32.const 1)))
          (br $next)))))

  ;; The last $more bytes of $point in UTF-8.
  (func $push_rest (param $point i32) (param $more i32)
    (loop $next
      (local.set $more (i32.sub (local.get $more) (i32.const 1)))
      (call $push
        (i32.or
          (i32.const 0x80)
          (i32.and
            (i32.shr_u (local.get $point) (i32.mul (local.get $more) (i32.const 6)))
            (i32.const 63))))
      (br_if $next (local.get $more))))

  ;; Takes a code point that no table changes.
  (func $push_point (param $point i32)
    (if (i32.lt_u (local.get $point) (i32.const 0x80))
      (then
        (call $push
          (i32.add
            (local.get $point)
            (i32.shl
              (i32.lt_u (i32.sub (local.get $point) (i32.const 65)) (i32.const 26))
              (i32.const 5))))
        (return)))
    (if (i32.lt_u (local.get $point) (i32.const 0x800))
      (then
        (call $push (i32.or (i32.const 0xc0) (i32.shr_u (local.get $point) (i32.const 6))))
        (call $push_rest (local.get $point) (i32.const 1))
        (return)))
    (if (i32.lt_u (local.get $point) (i32.const 0x10000))
      (then
        (call $push (i32.or (i32.const 0xe0) (i32.shr_u (local.get $point) (i32.const 12))))
        (call $push_rest (local.get $point) (i32.const 2))
        (return)))
    (call $push (i32.or (i32.const 0xf0) (i32.shr_u (local.get $point) (i32.const 18))))
    (call $push_rest (local.get $point) (i32.const 3)))

  ;; Where the folded form of $point lies, as a length and bytes; 0 when the table has none.
  (func $folded_form (param $point i32) (result i32)
    (local $form i32)
    (if (i32.lt_u (local.get $point) (i32.const 0x80)) (then (return (i32.const 0))))
    (if (i32.ge_u (local.get $point) (i32.load (i32.const 4096)))
      (then (return (i32.const 0))))
    (local.set $form
      (i32.load16_u offset=4096
        (i32.add
          (i32.add
            (i32.load (i32.const 4100))
            (i32.shl
              (i32.load8_u offset=4108 (i32.shr_u (local.get $point) (i32.const 6)))
              (i32.const 7)))
          (i32.shl (i32.and (local.get $point) (i32.const 63)) (i32.const 1)))))
    (if (i32.eqz (local.get $form)) (then (return (i32.const 0))))
    (i32.add (local.get $form) (i32.add (i32.load (i32.const 4104)) (i32.const 4096))))

  ;; Takes a code point as it folds.
  (func $push_folded (param $point i32)
    (local $form i32) (local $last i32)
    (if (i32.eq (i32.shr_u (local.get $point) (i32.const 12)) (i32.const 0xe0))
      (then (return)))
    (local.set $form (call $folded_form (local.get $point)))
    (if (i32.eqz (local.get $form))
      (then
        (call $push_point (local.get $point))
        (return)))
    (local.set $last (i32.add (local.get $form) (i32.load8_u (local.get $form))))
    (loop $next
      (if (i32.lt_u (local.get $form) (local.get $last))
        (then
          (local.set $form (i32.add (local.get $form) (i32.const 1)))
          (call $push (i32.load8_u (local.get $form)))
          (br $next)))))

  ;; Value of the escape \uXXXX at $at, -1 when there is none.
  (func $unit_at (param $at i32) (result i32)
    (local $unit i32) (local $left i32) (local $digit i32)
    (if (i32.gt_u (i32.add (local.get $at) (i32.const 6)) (global.get $end))
      (then (return (i32.const -1))))
    (if (i32.ne (i32.load16_u align=1 (local.get $at)) (i32.const 0x755c))
      (then (return (i32.const -1))))
    (local.set $left (i32.const 4))
    (loop $next
      (local.set $digit (i32.sub (i32.load8_u offset=2 (local.get $at)) (i32.const 48)))
      (if (i32.gt_u (local.get $digit) (i32.const 9))
        (then
          (local.set $digit
            (i32.sub
              (i32.or (i32.load8_u offset=2 (local.get $at)) (i32.const 32))
              (i32.const 97)))
          (if (i32.gt_u (local.get $digit) (i32.const 5)) (then (return (i32.const -1))))
          (local.set $digit (i32.add (local.get $digit) (i32.const 10)))))
      (local.set $unit
        (i32.or (i32.shl (local.get $unit) (i32.const 4)) (local.get $digit)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $next (local.get $left)))
    (local.get $unit))

  (func $skip (param $size i32)
    (global.set $at (i32.add (global.get $at) (local.get $size))))

  ;; Reads a backslash and what belongs to it: the code point that it stands for.
  (func $read_escape (result i32)
    (local $unit i32) (local $low i32)
    (local.set $unit (call $unit_at (global.get $at)))
    (if (i32.lt_s (local.get $unit) (i32.const 0))
      (then
        (call $skip (i32.const 1))
        (if (i32.lt_u (global.get $at) (global.get $end))
          (then
            (if (i32.eq (i32.load8_u (global.get $at)) (i32.const 0x5c))
              (then (call $skip (i32.const 1))))))
        (return (i32.const 0x5c))))
    (call $skip (i32.const 6))
    (local.set $low (call $unit_at (global.get $at)))
    (if
      (i32.or
        (i32.ne (i32.and (local.get $unit) (i32.const 0xfc00)) (i32.const 0xd800))
        (i32.ne (i32.and (local.get $low) (i32.const 0xfffffc00)) (i32.const 0xdc00)))
      (then (return (local.get $unit))))
    (call $skip (i32.const 6))
    (i32.add
      (i32.const 0x10000)
      (i32.or
        (i32.shl (i32.and (local.get $unit) (i32.const 0x3ff)) (i32.const 10))
        (i32.and (local.get $low) (i32.const 0x3ff)))))

  ;; Reads a code point beyond ASCII; a byte that is not UTF-8 counts as U+FFFD.
  (func $read_point (result i32)
    (local $point i32) (local $more i32) (local $next i32)
    (local.set $point (i32.load8_u (global.get $at)))
    (call $skip (i32.const 1))
    (local.set $more
      (i32.add
        (i32.const 1)
        (i32.add
          (i32.ge_u (local.get $point) (i32.const 0xe0))
          (i32.ge_u (local.get $point) (i32.const 0xf0)))))
    (if
      (i32.or
        (i32.gt_u (i32.sub (local.get $point) (i32.const 0xc2)) (i32.const 0x32))
        (i32.gt_u (i32.add (global.get $at) (local.get $more)) (global.get $end)))
      (then (return (i32.const 0xfffd))))
    (local.set $point
      (i32.and (local.get $point) (i32.shr_u (i32.const 0x3f) (local.get $more))))
    (local.set $next (global.get $at))
    (local.set $more (i32.add (local.get $next) (local.get $more)))
    (loop $again
      (if (i32.ne
          (i32.and (i32.load8_u (local.get $next)) (i32.const 0xc0))
          (i32.const 0x80))
        (then (return (i32.const 0xfffd))))
      (local.set $point
        (i32.or
          (i32.shl (local.get $point) (i32.const 6))
          (i32.and (i32.load8_u (local.get $next)) (i32.const 0x3f))))
      (local.set $next (i32.add (local.get $next) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $next) (local.get $more))))
    (global.set $at (local.get $next))
    (local.get $point))

  ;; Reads what is next, whatever it is.
  (func $read (result i32)
    (local $byte i32)
    (local.set $byte (i32.load8_u (global.get $at)))
    (if (i32.eq (local.get $byte) (i32.const 0x5c)) (then (return (call $read_escape))))
    (if (i32.ge_u (local.get $byte) (i32.const 0x80)) (then (return (call $read_point))))
    (call $skip (i32.const 1))
    (local.get $byte))

  ;; ABI: a client publishes an event or sends a command.
  (func (export "arqon_on_message") (result i32)
    (local $payload i32) (local $plain i32)
    (global.set $heap (i32.const 52224))
    (global.set $count (i32.const 0))
    (global.set $found (i32.const 0))
    (call $prepare)
    (local.set $payload (call $host_get_payload))
    (if (i32.eqz (local.get $payload)) (then (return (i32.const 0))))
    (global.set $at (i32.add (local.get $payload) (i32.const 4)))
    (global.set $end (i32.add (global.get $at) (i32.load align=1 (local.get $payload))))
    (loop $next
      (if (i32.lt_u (global.get $at) (global.get $end))
        (then
          (local.set $plain (i32.load8_u offset=1024 (i32.load8_u (global.get $at))))
          (if (local.get $plain)
            (then
              (i32.store8 offset=768
                (i32.and (global.get $count) (i32.const 63))
                (local.get $plain))
              (global.set $count (i32.add (global.get $count) (i32.const 1)))
              (call $skip (i32.const 1))
              (br $next)))
          (call $push_folded (call $read))
          (br_if $next (i32.eqz (global.get $found)))
          (call $host_reject (i32.const 403) (i32.const 256) (i32.const 37))
          (return (i32.const 1)))))
    (i32.const 0)))
