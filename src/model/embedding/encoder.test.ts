import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { randomImage, writeRandomImage } from "../../../test/images.ts";
import { temporaryFolder } from "../../../test/temporary-folder.ts";
import { saveTinyModel, tinyConfig } from "../../../test/tiny-model.ts";
import { readParameter } from "../checkpoints/load.ts";
import { Random } from "../../core/random.ts";
import { relativeError } from "../../learning/parity/compare.ts";
import { decodeImage } from "../../inputs/image/decode.ts";
import { preprocessImage } from "../../inputs/image/preprocess.ts";
import { type ClipConfig } from "../towers/config.ts";
import { initializeParameters } from "../nn/parameters.ts";
import { clipParameters } from "../towers/parameters.ts";
import { batches, mapInOrder } from "../../core/streams.ts";
import { ClipEncoder, collect, dot } from "./encoder.ts";
import { forward } from "./forward.ts";
import { readModel, readTokenizer } from "../pretrained/model-folder.ts";
import { measureQuantization } from "./quantization.ts";

const root = await temporaryFolder();
const model = await readModel(await saveTinyModel(join(root, "model")));
const encoder = new ClipEncoder(model);
afterAll(() => encoder.release());

const rasters = [1, 2, 3, 4, 5].map((seed) => randomImage(seed));
const texts = ["a red apple", "the sea", "a picture of a tree"];

describe("an encoder", () => {
  it("gives unit vectors, one per image and text, in the order given", async () => {
    const embeds = [...(await collect(encoder.encodeImages(rasters))), ...(await collect(encoder.encodeTexts(texts)))];
    expect(embeds).toHaveLength(8);
    for (const embed of embeds) {
      expect(embed).toHaveLength(tinyConfig.embedDim);
      expect(dot(embed, embed)).toBeCloseTo(1, 6);
    }
    const [last] = await collect(encoder.encodeImages([rasters[4]!]));
    expect(relativeError(embeds[4]!, last!)).toBeLessThan(1e-6);
  });

  it.each([
    ["the class token", tinyConfig, ["vision.projection"], 32],
    [
      "all places, beside descriptors",
      { ...tinyConfig, vision: { ...tinyConfig.vision, pool: "places", descriptors: true } } as ClipConfig,
      ["vision.projection.out", "vision.descriptors.out"],
      256,
    ],
  ])("pools %s to vectors of which the projection makes the features", async (_, config, names, width) => {
    const stored = await readModel(await saveTinyModel(join(root, `pooled-${width}`), { config }));
    await using own = new ClipEncoder(stored);
    const pooled = await collect(own.poolImages(rasters));
    const embeds = await collect(own.encodeImages(rasters));
    const read = async (name: string) => (await readParameter(stored.parameters.get(name)!)).data;
    const [projection] = await Promise.all(stored.parameters.has(names[0]!) ? [read(names[0]!)] : []);
    const layers = await Promise.all(
      projection ? [] : names.map(async (name) => [await read(`${name}.weight`), await read(`${name}.bias`)] as const),
    );
    for (const [i, vector] of pooled.entries()) {
      expect(vector).toHaveLength(width);
      const features = Float32Array.from({ length: own.embedDim }, (_, e) => {
        if (projection) return vector.reduce((sum, value, w) => sum + value * projection[w * own.embedDim + e]!, 0);
        return layers.reduce((all, [weight, bias], part) => {
          const size = width / layers.length;
          const own = vector.subarray(part * size, (part + 1) * size);
          return all + bias[e]! + dot(own, weight.subarray(e * size, (e + 1) * size));
        }, 0);
      });
      const norm = Math.sqrt(dot(features, features));
      expect(
        relativeError(
          embeds[i]!,
          features.map((value) => value / norm),
        ),
      ).toBeLessThan(1e-5);
    }
  });

  // Measured: 1.3e-7.
  it("gives the same vectors whatever the batch", async () => {
    const [whole, single] = [encoder.encodeImages(rasters), encoder.encodeImages(rasters, { batchSize: 2 })];
    const [a, b] = [await collect(whole), await collect(single)];
    a.forEach((embed, i) => expect(relativeError(embed, b[i]!)).toBeLessThan(1e-6));
  });

  it("reads a path, its bytes and its pixels alike", async () => {
    const path = await writeRandomImage(join(root, "image.png"), 7);
    const [a, b, c] = await collect(encoder.encodeImages([path, await readFile(path), await decodeImage(path)]));
    expect([b, c]).toEqual([a, a]);
  });

  it("reads no further ahead in a stream than one batch and what is decoded at a time, while another is encoded", async () => {
    let read = 0;
    function* endless() {
      for (;;) {
        read++;
        yield rasters[0]!;
      }
    }
    for await (const embed of encoder.encodeImages(endless(), { batchSize: 3 })) {
      expect(embed).toHaveLength(tinyConfig.embedDim);
      break;
    }
    expect(read).toBeLessThanOrEqual(3 + 3 + 4);
  });

  it("stops when the caller says so", async () => {
    const { signal, ...controller } = stopAfter(4);
    const encoding = collect(encoder.encodeTexts(controller.texts, { batchSize: 2, signal }));
    await expect(encoding).rejects.toMatchObject({ name: "AbortError" });
    expect(controller.read()).toBe(4);
  });

  it("gives texts of any lengths in their order, as each alone, padding or not", async () => {
    const words = ["red", "green", "blue", "apple", "tree", "sea", "sun"];
    const random = new Random(11);
    const many = Array.from({ length: 70 }, () =>
      Array.from({ length: 1 + random.integer(5) }, () => words[random.integer(words.length)]!).join(" "),
    );
    const embeds = await collect(encoder.encodeTexts(many, { batchSize: 4 }));
    expect(embeds).toHaveLength(70);
    const { inputIds } = (await readTokenizer(model)).tokenize(many, { contextLength: 24 });
    const padded = await forward(model, { inputIds: { dtype: "int32", shape: [70, 24], data: inputIds } });
    const wanted = padded.get("textEmbeds")!.data as Float32Array;
    const met = embeds.flatMap((embed) => [...embed]);
    expect(relativeError(met, wanted)).toBeLessThan(1e-6);
  });

  it("has as logits the cosines of the embeddings times the scale, as the forward pass has them", async () => {
    const { data, shape } = await encoder.logits(rasters, texts);
    expect(shape).toEqual([5, 3]);
    const { inputIds } = (await readTokenizer(model)).tokenize(texts, { contextLength: 24 });
    const pixelValues = new Float32Array(5 * 3 * 32 * 32);
    rasters.forEach((raster, i) =>
      pixelValues.set(preprocessImage(raster, model.preprocess).pixelValues, i * 3 * 32 * 32),
    );
    const outputs = await forward(model, {
      pixelValues: { dtype: "float32", shape: [5, 3, 32, 32], data: pixelValues },
      inputIds: { dtype: "int32", shape: [3, 24], data: inputIds },
    });
    expect(relativeError(data, outputs.get("logitsPerImage")!.data as Float32Array)).toBeLessThan(1e-5);
    expect(encoder.logitScale).toBeCloseTo(Math.log(1 / 0.07), 6);
  });

  it("tells of images that cannot be read, and leaves their places open", async () => {
    const broken = new Uint8Array([1, 2, 3]);
    const lazy = { name: "from elsewhere", load: () => Promise.reject(new Error("no such key")) };
    const images = [rasters[0]!, broken, rasters[1]!, lazy, { name: "late", load: () => rasters[2]! }];
    const wanted = await collect(encoder.encodeImages([0, 1, 2].map((i) => rasters[i]!)));
    for (const batchSize of [1, 2, 16]) {
      const skipped: [string, unknown, number][] = [];
      const options = {
        batchSize,
        onSkip: ({ message }: Error, image: unknown, index: number) => void skipped.push([message, image, index]),
      };
      const embeds = await collect(encoder.encodeImages(images, options));
      expect(embeds.map((embed) => embed !== undefined)).toEqual([true, false, true, false, true]);
      for (const [i, place] of [0, 2, 4].entries())
        expect(relativeError(embeds[place]!, wanted[i]!)).toBeLessThan(1e-6);
      expect(skipped.map(([, image, index]) => [image, index])).toEqual([
        [broken, 1],
        [lazy, 3],
      ]);
      expect(skipped[1]![0]).toBe("from elsewhere cannot be loaded: no such key");
    }
    const pooled = await collect(encoder.poolImages(images, { onSkip: () => {} }));
    expect(pooled.map((vector) => vector !== undefined)).toEqual([true, false, true, false, true]);
    const { data } = await encoder.logits([broken, rasters[0]!], ["the sea"], { onSkip: () => {} });
    expect(data[0]).toBeNaN();
    expect(data[1]).toBeGreaterThan(-100);
    await expect(collect(encoder.encodeImages(images))).rejects.toMatchObject({ code: "CLIP_IMAGE" });
    // What is no image at all is a mistake of the program, and not skipped.
    const usage = collect(encoder.encodeImages([null as never], { onSkip: () => {} }));
    await expect(usage).rejects.toMatchObject({ code: "CLIP_USAGE" });
  });

  it.each([NaN, Infinity, 0])("gives no vector that a weight of %d has spoiled", async (value) => {
    const parameters = initializeParameters(clipParameters(tinyConfig), 1);
    for (const name of ["vision.projection", "text.projection"]) parameters.get(name)!.data.fill(value);
    const folder = await saveTinyModel(join(root, `spoiled-${value}`), { parameters });
    const spoiled = await readModel(folder);
    await using own = new ClipEncoder(spoiled);
    const onSkip = () => {};
    const at = {
      code: "CLIP_RUNTIME",
      message: expect.stringMatching(/^the vector of image 0 .*weights are damaged/) as string,
    };
    await expect(collect(own.encodeImages(rasters, { onSkip }))).rejects.toMatchObject(at);
    await expect(own.logits(rasters, texts)).rejects.toMatchObject({ code: "CLIP_RUNTIME" });
    await expect(collect(own.encodeTexts(["the sea"]))).rejects.toThrow(/^the vector of text 0 \("the sea"\)/);
    const inputIds = { dtype: "int32" as const, shape: [1, 2], data: Int32Array.of(1, 2) };
    await expect(forward(spoiled, { inputIds })).rejects.toMatchObject({ code: "CLIP_RUNTIME" });
  });

  it("says that it was released, whenever that was", async () => {
    const own = new ClipEncoder(model);
    const released = /^this model was released; load it again$/;
    const stream = own.encodeImages(rasters, { batchSize: 1 });
    expect((await stream.next()).done).toBe(false);
    const starting = own
      .encodeTexts(texts)
      .next()
      .catch((error: unknown) => expect(String(error)).toMatch(/this model was released/));
    await Promise.all([own.release(), own.release()]);
    await expect(collect(stream)).rejects.toThrow(released);
    await starting;
    await expect(collect(own.encodeTexts(texts))).rejects.toThrow(released);
    await expect(collect(own.poolImages(rasters))).rejects.toThrow(released);
    await expect(own.logits(rasters, texts)).rejects.toThrow(released);
    await own.release();
  });

  it("refuses a string where a list belongs, and a batch of nothing", async () => {
    await expect(collect(encoder.encodeTexts("a cat"))).rejects.toThrow('got "a cat"; wrap it in [ ]');
    await expect(collect(encoder.encodeTexts([], { batchSize: 0 }))).rejects.toThrow(
      "batchSize must be a whole number of at least 1, got 0",
    );
  });

  it("says which text is too long, and by how much", async () => {
    const text = "apple ".repeat(40);
    await expect(collect(encoder.encodeTexts([text]))).rejects.toThrow(/is \d+ tokens too long/);
  });

  // Measured: 0.99988 and 0.979. A projection that is not turned gives 0.08 to 0.36.
  it.each([
    ["q8", 0.9995],
    ["q4", 0.95],
  ] as const)("in %s gives almost the vectors of the weights as they are", async (dtype, wanted) => {
    const { images, texts: embeds } = await measureQuantization(new ClipEncoder(model, { dtype }), model, {
      images: rasters,
      texts,
    });
    expect([images!.count, embeds!.count]).toEqual([5, 3]);
    for (const { least, mean } of [images!, embeds!]) {
      expect(least).toBeGreaterThan(wanted);
      expect(least).toBeLessThan(1 - 1e-6);
      expect(mean).toBeGreaterThanOrEqual(least);
    }
  });

  it("is not used after its memory was given back", async () => {
    const other = new ClipEncoder(model);
    await collect(other.encodeTexts(texts));
    await other.release();
    await expect(collect(other.encodeTexts(texts))).rejects.toMatchObject({ code: "CLIP_USAGE" });
    await expect(collect(other.encodeImages(rasters))).rejects.toThrow(/was released; load it again/);
  });
});

describe("the forward pass", () => {
  it("computes what follows from what is given", async () => {
    const inputIds = { dtype: "int32", shape: [1, 4], data: Int32Array.of(1, 2, 3, 4) } as const;
    const outputs = await forward(model, { inputIds });
    expect([...outputs.keys()].sort()).toEqual(["logitScale", "textEmbeds", "textFeatures"]);
    await expect(forward(model, {})).rejects.toThrow(/give pixelValues, inputIds, or both/);
  });

  it("does not see padding behind the end of a text", async () => {
    const ids = [model.config.text.vocabSize - 2, 65, 66, model.config.text.vocabSize - 1];
    const short = { dtype: "int32", shape: [1, 4], data: Int32Array.from(ids) } as const;
    const padded = {
      dtype: "int32",
      shape: [1, 24],
      data: Int32Array.from({ length: 24 }, (_, i) => ids[i] ?? 0),
    } as const;
    const [a, b] = [await forward(model, { inputIds: short }), await forward(model, { inputIds: padded })];
    const values = (outputs: typeof a) => outputs.get("textFeatures")!.data as Float32Array;
    expect(relativeError(values(a), values(b))).toBeLessThan(1e-6);
  });

  it("refuses what the model cannot read", async () => {
    const pixels = { dtype: "float32", shape: [1, 3, 30, 30], data: new Float32Array(2700) } as const;
    await expect(forward(model, { pixelValues: pixels })).rejects.toThrow(
      "pixelValues must be [n, 3, 32, 32] for this model, got [1, 3, 30, 30]",
    );
    const long = { dtype: "int32", shape: [1, 25], data: new Int32Array(25) } as const;
    await expect(forward(model, { inputIds: long })).rejects.toThrow("[n, L] with L at most 24");
    const unknown = { dtype: "int32", shape: [1, 2], data: Int32Array.of(0, -1) } as const;
    await expect(forward(model, { inputIds: unknown })).rejects.toThrow(/inputIds holds -1/);
  });
});

describe("batches", () => {
  it("hold every item once, in order, and are full but for the last", async () => {
    expect(await collect(batches([1, 2, 3, 4, 5], 2))).toEqual([[1, 2], [3, 4], [5]]);
    expect(await collect(batches([1, 2], 2))).toEqual([[1, 2]]);
    expect(await collect(batches([], 2))).toEqual([]);
  });
});

describe("what is mapped in order", () => {
  /** Each is done when it is told so. */
  const pending = Array.from({ length: 7 }, () => {
    let resolve = () => {};
    const promise = new Promise<void>((done) => (resolve = done));
    return { promise, resolve };
  });

  it("is begun four at a time, and comes in the order of the items whichever is done first", async () => {
    const begun: number[] = [];
    const got: number[] = [];
    const all = (async () => {
      const mapped = mapInOrder([0, 1, 2, 3, 4, 5, 6], async (i) => {
        begun.push(i);
        await pending[i]!.promise;
        return i;
      });
      for await (const i of mapped) got.push(i);
    })();
    const settle = () => new Promise((resolve) => setImmediate(resolve));
    await settle();
    expect([begun, got]).toEqual([[0, 1, 2, 3], []]);
    for (const i of [3, 2, 1]) pending[i]!.resolve();
    await settle();
    expect([begun, got]).toEqual([[0, 1, 2, 3], []]);
    pending[0]!.resolve();
    await settle();
    expect([begun, got]).toEqual([
      [0, 1, 2, 3, 4, 5, 6],
      [0, 1, 2, 3],
    ]);
    for (const i of [6, 5, 4]) pending[i]!.resolve();
    await all;
    expect(got).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it("gives what comes before a failure, and then the failure", async () => {
    const got: number[] = [];
    const failing = (async () => {
      for await (const i of mapInOrder([0, 1, 2, 3, 4], (i) =>
        i < 2 ? Promise.resolve(i) : Promise.reject(new Error(`item ${i}`)),
      ))
        got.push(i);
    })();
    await expect(failing).rejects.toThrow("item 2");
    expect(got).toEqual([0, 1]);
  });
});

/** Endless texts of which the reader is to take no more than `count`. */
function stopAfter(count: number) {
  const controller = new AbortController();
  let read = 0;
  function* endless() {
    for (;;) {
      if (++read === count) controller.abort();
      yield "a red apple";
    }
  }
  return { texts: endless(), signal: controller.signal, read: () => read };
}
