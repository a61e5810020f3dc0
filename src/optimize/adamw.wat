;; One AdamW step (Loshchilov and Hutter 2019) over `count` numbers, four at a time. The host puts parameters, first
;; moments, second moments and gradients into memory at 0, $stride, 2 · $stride and 3 · $stride bytes and fetches the first
;; three back.
(module
  (memory (export "memory") 16)
  (func (export "step")
    (param $count i32) (param $stride i32)
    (param $gradientScale f32) (param $beta1 f32) (param $beta2 f32)
    (param $stepSize f32)      ;; learning rate / (1 - beta1^t)
    (param $rootScale f32)     ;; 1 / sqrt(1 - beta2^t)
    (param $epsilon f32)
    (param $keep f32)          ;; 1 - learning rate * weight decay
    (local $at i32) (local $end i32)
    (local $g v128) (local $m v128) (local $v v128)
    (local.set $end (i32.shl (local.get $count) (i32.const 2)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $g (f32x4.mul
          (v128.load (i32.add (local.get $at) (i32.mul (local.get $stride) (i32.const 3))))
          (f32x4.splat (local.get $gradientScale))))
        ;; m = beta1 m + (1 - beta1) g
        (local.set $m (f32x4.add
          (f32x4.mul (v128.load (i32.add (local.get $at) (local.get $stride))) (f32x4.splat (local.get $beta1)))
          (f32x4.mul (local.get $g) (f32x4.splat (f32.sub (f32.const 1) (local.get $beta1))))))
        (v128.store (i32.add (local.get $at) (local.get $stride)) (local.get $m))
        ;; v = beta2 v + (1 - beta2) g g
        (local.set $v (f32x4.add
          (f32x4.mul (v128.load (i32.add (local.get $at) (i32.shl (local.get $stride) (i32.const 1)))) (f32x4.splat (local.get $beta2)))
          (f32x4.mul (f32x4.mul (local.get $g) (local.get $g)) (f32x4.splat (f32.sub (f32.const 1) (local.get $beta2))))))
        (v128.store (i32.add (local.get $at) (i32.shl (local.get $stride) (i32.const 1))) (local.get $v))
        ;; p = keep p - stepSize m / (rootScale sqrt(v) + epsilon)
        (v128.store (local.get $at) (f32x4.sub
          (f32x4.mul (v128.load (local.get $at)) (f32x4.splat (local.get $keep)))
          (f32x4.div
            (f32x4.mul (local.get $m) (f32x4.splat (local.get $stepSize)))
            (f32x4.add (f32x4.mul (f32x4.sqrt (local.get $v)) (f32x4.splat (local.get $rootScale))) (f32x4.splat (local.get $epsilon))))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next)))))
