;; For each row and each output position: the weighted sum of input pixels, rounded and clamped to 8 bits. One vector
;; holds the four channels of a pixel as 32-bit integers. Strides are in bytes; see the type `Kernel` beside this file.
(module
  (memory (export "memory") 1)
  (func (export "weighRows")
    (param $source i32) (param $sourceStride i32) (param $rowCount i32)
    (param $taps i32) (param $tapStride i32) (param $outputs i32)
    (param $result i32) (param $resultStride i32)
    (local $left i32) (local $record i32) (local $target i32)
    (local $pixel i32) (local $weight i32) (local $weightEnd i32) (local $sum v128)
    (loop $nextRow
      (local.set $record (local.get $taps))
      (local.set $target (local.get $result))
      (local.set $left (local.get $outputs))
      (loop $nextOutput
        ;; the record: first input pixel, number of inputs, weights
        (local.set $pixel (i32.add (local.get $source) (i32.shl (i32.load (local.get $record)) (i32.const 2))))
        (local.set $weight (i32.add (local.get $record) (i32.const 8)))
        (local.set $weightEnd
          (i32.add (local.get $weight) (i32.shl (i32.load offset=4 (local.get $record)) (i32.const 2))))
        (local.set $sum (i32x4.splat (i32.const 0x200000))) ;; one half: the shift below then rounds
        (loop $nextTap
          (local.set $sum (i32x4.add (local.get $sum) (i32x4.mul
            (i32x4.extend_low_i16x8_u (i16x8.extend_low_i8x16_u (v128.load32_zero (local.get $pixel))))
            (v128.load32_splat (local.get $weight)))))
          (local.set $pixel (i32.add (local.get $pixel) (i32.const 4)))
          (local.set $weight (i32.add (local.get $weight) (i32.const 4)))
          (br_if $nextTap (i32.lt_u (local.get $weight) (local.get $weightEnd))))
        (local.set $sum (i32x4.shr_s (local.get $sum) (i32.const 22))) ;; the weights are in units of 2^-22
        ;; narrowing clamps
        (v128.store32_lane 0 (local.get $target) (i8x16.narrow_i16x8_u
          (i16x8.narrow_i32x4_s (local.get $sum) (local.get $sum))
          (i16x8.narrow_i32x4_s (local.get $sum) (local.get $sum))))
        (local.set $target (i32.add (local.get $target) (local.get $resultStride)))
        (local.set $record (i32.add (local.get $record) (local.get $tapStride)))
        (br_if $nextOutput (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
      (local.set $source (i32.add (local.get $source) (local.get $sourceStride)))
      (local.set $result (i32.add (local.get $result) (i32.const 4)))
      (br_if $nextRow (local.tee $rowCount (i32.sub (local.get $rowCount) (i32.const 1)))))))
