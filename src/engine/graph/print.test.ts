import { describe, expect, it } from "vitest";
import { instantiate } from "../../../test/engine/gradient-error.ts";
import { allPrograms } from "../../../test/engine/op-programs.ts";
import { gradients } from "../autodiff/gradients.ts";
import { float32 } from "../../core/tensor-data.ts";
import { block } from "../../model/nn/layers.ts";
import { printProgram } from "./print.ts";
import { simplify } from "./simplify.ts";
import { constant, input, stored, type Tensor } from "./tensor.ts";

/** The simplified program as text. */
function program(outputs: Record<string, Tensor>): string {
  const names = Object.keys(outputs);
  return printProgram(Object.fromEntries(simplify(Object.values(outputs)).map((tensor, i) => [names[i]!, tensor])));
}

/** A tensor and its gradients, as text. */
function withGradients(y: Tensor, x: readonly Tensor[]): string {
  const seed = input("dy", y.shape);
  const derived = gradients(y, x, { seed });
  return program({ y, ...Object.fromEntries(derived.map((dx, i) => [`d_${x[i]!.name}`, dx])) });
}

describe("a program as text", () => {
  it("says what each tensor is called, what it is, how it is made and what comes out", () => {
    const x = input("x", ["batch", 3]);
    const place = { file: "folder/model.safetensors", byteOffset: 17, byteLength: 24 };
    const hidden = x.matmul(stored("weight", [3, 2], "float32", place)).named("hidden");
    const y = hidden.add(constant(float32([0.1, 1e-7], [2]))).mul(1 / 3);
    const large = constant(float32(new Float32Array(9), [9]));
    expect(printProgram({ y: y.sum(-1), x, large })).toMatchInlineSnapshot(`
      "x: float32 [batch, 3]
      weight: float32 [3, 2] = stored(model.safetensors from byte 17)
      %0: float32 [batch, 2] = matmul(x, weight)  # hidden
      %1: float32 [2] = constant(0.1, 1e-7)
      %2: float32 [batch, 2] = add(%0, %1)
      %3: float32 [batch, 2] = mul(%2, 0.3333333)
      %4: float32 [9] = constant(…)
      %5: float32 [batch] = sum(%3, axes [1], keepDims false)
      return y = %5, x = x, large = %4"
    `);
  });
});

describe("the program and its gradient, of", () => {
  it.each(allPrograms)("%s", (_, one) => {
    const { tensors, y } = instantiate(one);
    expect(
      withGradients(
        y,
        tensors.filter(({ dtype }) => dtype === "float32"),
      ),
    ).toMatchSnapshot();
  });

  it("a Transformer block", () => {
    const parameter = (name: string, ...shape: number[]) => input(name, shape);
    const linear = (name: string, out: number, inside: number) => ({
      weight: parameter(`${name}.weight`, out, inside),
      bias: parameter(`${name}.bias`, out),
    });
    const affine = (name: string) => ({ weight: parameter(`${name}.weight`, 8), bias: parameter(`${name}.bias`, 8) });
    const p = {
      ln1: affine("ln1"),
      attn: { qkv: linear("attn.qkv", 24, 8), out: linear("attn.out", 8, 8) },
      ln2: affine("ln2"),
      mlp: { fc: linear("mlp.fc", 32, 8), proj: linear("mlp.proj", 8, 32) },
    };
    const x = input("x", [2, 5, 8]);
    const leaves = Object.values(p).flatMap((layer) =>
      Object.values(layer).flatMap((leaf: Tensor | { weight: Tensor; bias: Tensor }) =>
        "op" in leaf ? [leaf] : Object.values(leaf),
      ),
    );
    expect(withGradients(block(p, { heads: 2, activation: "quickGelu" }, x), [x, ...leaves])).toMatchSnapshot();
  });
});
