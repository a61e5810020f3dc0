;; One AdamW step (Loshchilov and Hutter 2019) over `count` numbers, four at a time. The addresses are those of
;; parameters, gradients, first and second moments in memory; all but the gradients are written.
(module
  (import "host" "memory" (memory 0))
  (func (export "step")
    (param $count i32) (param $p i32) (param $g i32) (param $m i32) (param $v i32)
    (param $gradientScale f32) (param $beta1 f32) (param $beta2 f32)
    (param $stepSize f32)      ;; learning rate / (1 - beta1^t)
    (param $rootScale f32)     ;; 1 / sqrt(1 - beta2^t)
    (param $epsilon f32)
    (param $keep f32)          ;; 1 - learning rate * weight decay
    (local $end i32) (local $gradient v128) (local $first v128) (local $second v128)
    (local.set $end (i32.add (local.get $p) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $p) (local.get $end)))
        (local.set $gradient (f32x4.mul (v128.load (local.get $g)) (f32x4.splat (local.get $gradientScale))))
        ;; m = beta1 m + (1 - beta1) g
        (local.set $first (f32x4.add
          (f32x4.mul (v128.load (local.get $m)) (f32x4.splat (local.get $beta1)))
          (f32x4.mul (local.get $gradient) (f32x4.splat (f32.sub (f32.const 1) (local.get $beta1))))))
        (v128.store (local.get $m) (local.get $first))
        ;; v = beta2 v + (1 - beta2) g g
        (local.set $second (f32x4.add
          (f32x4.mul (v128.load (local.get $v)) (f32x4.splat (local.get $beta2)))
          (f32x4.mul
            (f32x4.mul (local.get $gradient) (local.get $gradient))
            (f32x4.splat (f32.sub (f32.const 1) (local.get $beta2))))))
        (v128.store (local.get $v) (local.get $second))
        ;; p = keep p - stepSize m / (rootScale sqrt(v) + epsilon)
        (v128.store (local.get $p) (f32x4.sub
          (f32x4.mul (v128.load (local.get $p)) (f32x4.splat (local.get $keep)))
          (f32x4.div
            (f32x4.mul (local.get $first) (f32x4.splat (local.get $stepSize)))
            (f32x4.add
              (f32x4.mul (f32x4.sqrt (local.get $second)) (f32x4.splat (local.get $rootScale)))
              (f32x4.splat (local.get $epsilon))))))
        (local.set $p (i32.add (local.get $p) (i32.const 16)))
        (local.set $g (i32.add (local.get $g) (i32.const 16)))
        (local.set $m (i32.add (local.get $m) (i32.const 16)))
        (local.set $v (i32.add (local.get $v) (i32.const 16)))
        (br $next)))))
