import { knownModels } from "../../model/hub/known-models.ts";

/** The paper's metric for a data set. */
export type SetMetric = "top1" | "meanPerClass" | "meanAveragePrecision11" | "rocAuc";

/** A data set of the CLIP paper, with published scores. */
export interface KnownSet {
  readonly name: string;
  /** Hub repository in CLIP_benchmark's layout (class names, templates, images), if one exists. */
  readonly repository: string | undefined;
  readonly metric: SetMetric;
  /** Number of test images in the paper; other copies of a set may be split differently. */
  readonly images: number;
  /** Licence of the images, according to their publishers or redistributors; undefined if unknown. */
  readonly licence: string | undefined;
  /** The paper's scores of OpenAI's models, in percent, by model. */
  readonly paper: Readonly<Record<string, number>>;
  /** open_clip's scores of the released weights, in percent, by model. */
  readonly released: Readonly<Record<string, number>>;
}

/** Columns of open_clip's scores. */
const measuredModels = ["RN50", "ViT-B/32", "ViT-B/16", "ViT-L/14", "ViT-L/14@336px"];
/** The model in the paper's tables. */
const tableModel = "ViT-L/14@336px";

const imageNetTerms = "ImageNet's terms: non-commercial research and teaching";

/** Name, CLIP_benchmark's repository, metric, test images, the paper's score of ViT-L/14@336px, licence, open_clip's scores. */
type Row = [string, string | undefined, SetMetric, number, number, (string | undefined)?, (readonly number[])?];
const rows: readonly Readonly<Row>[] = [
  ["imagenet", "imagenet1k", "top1", 50_000, 76.2, imageNetTerms, [59.8, 63.3, 68.3, 75.5, 76.6]],
  ["imagenetv2", "imagenetv2", "top1", 10_000, 70.1, "MIT", [52.8, 55.9, 61.9, 69.8, 70.9]],
  ["imagenet-sketch", "imagenet_sketch", "top1", 50_889, 60.2, "MIT", [35.4, 42.3, 48.2, 59.6, 61.0]],
  ["imagenet-a", "imagenet-a", "top1", 7_500, 77.2, undefined, [23.3, 31.6, 50.0, 70.8, 77.5]],
  ["imagenet-r", "imagenet-r", "top1", 30_000, 88.9, undefined, [60.7, 69.3, 77.7, 87.8, 89.1]],
  ["objectnet", "objectnet", "top1", 18_574, 72.3, undefined, [41.4, 44.3, 55.3, 68.9, 71.8]],
  ["food101", "food101", "top1", 25_250, 93.8, undefined, [80.8, 84.0, 88.7, 93.1, 93.9]],
  ["cifar10", "vtab-cifar10", "top1", 10_000, 95.7, undefined, [71.6, 89.8, 90.8, 95.6, 94.9]],
  ["cifar100", "vtab-cifar100", "top1", 10_000, 77.5, undefined, [40.3, 64.2, 67.0, 75.8, 74.4]],
  ["sun397", "sun397", "top1", 19_850, 68.4],
  ["cars", "cars", "top1", 8_041, 78.8, undefined, [54.5, 59.6, 64.8, 77.9, 79.3]],
  ["aircraft", "fgvc_aircraft", "meanPerClass", 3_333, 37.2],
  ["voc2007", "voc2007_multilabel", "meanAveragePrecision11", 4_952, 84.3],
  ["dtd", "vtab-dtd", "top1", 1_880, 55.7],
  ["pets", "vtab-pets", "meanPerClass", 3_669, 93.5, "CC BY-SA 4.0"],
  ["caltech101", "vtab-caltech101", "meanPerClass", 6_085, 92.8, "CC BY 4.0"],
  ["flowers", "vtab-flowers", "meanPerClass", 6_149, 78.3],
  ["mnist", "mnist", "top1", 10_000, 88.3, undefined, [57.6, 48.4, 51.4, 76.3, 79.2]],
  ["fer2013", "fer2013", "top1", 3_574, 57.7],
  ["stl10", "stl10", "top1", 8_000, 99.4],
  ["eurosat", "vtab-eurosat", "top1", 5_000, 59.6],
  ["resisc45", "vtab-resisc45", "top1", 25_200, 71.7],
  ["gtsrb", "gtsrb", "top1", 12_630, 52.3],
  ["kitti", "vtab-kitti_closest_vehicle_distance", "top1", 711, 21.9, "CC BY-NC-SA 3.0"],
  ["country211", "country211", "top1", 21_100, 34.9, undefined, [15.4, 17.2, 22.8, 31.9, 34.5]],
  ["pcam", "vtab-pcam", "top1", 32_768, 63.0, "CC0"],
  ["clevr", "vtab-clevr_count_all", "top1", 500, 24.8],
  ["sst2", "renderedsst2", "top1", 1_821, 67.9, undefined, [56.5, 58.7, 60.7, 68.8, 70.6]],
  ["hatefulmemes", undefined, "rocAuc", 500, 63.3],
];

/** The paper's ImageNet scores of the other models. */
const imageNetOfPaper = {
  ...{ RN50: 59.6, RN101: 62.2, RN50x4: 65.8, RN50x16: 70.5, RN50x64: 73.6 },
  ...{ "ViT-B/32": 63.2, "ViT-B/16": 68.6, "ViT-L/14": 75.3 },
};

/**
 * The paper's classification data sets with its zero-shot scores.
 *
 * @see Radford et al. 2021, tables 9, 11 and 16; {@link https://github.com/mlfoundations/open_clip | open_clip}
 *   `docs/openclip_results.csv` for the released weights' scores; CLIP_benchmark's `benchmark/webdatasets.txt` for the names.
 */
export const knownSets: readonly KnownSet[] = rows.map(
  ([name, place, metric, images, score, licence, measured = []]): KnownSet => ({
    ...{ name, metric, images, licence },
    repository: place === undefined ? undefined : `clip-benchmark/wds_${place}`,
    paper: { ...(name === "imagenet" && imageNetOfPaper), [tableModel]: score },
    released: Object.fromEntries(measured.map((figure, i) => [measuredModels[i]!, figure])),
  }),
);

/** Display names of the metrics. */
export const metricNames: Readonly<Record<SetMetric, string>> = {
  top1: "top-1",
  meanPerClass: "mean per class",
  meanAveragePrecision11: "mAP",
  rocAuc: "ROC AUC",
};

/** Published scores of a model on a data set, in [0, 1]. */
export interface PublishedScore {
  readonly metric: SetMetric;
  readonly paper: number | undefined;
  /** Score of the released weights, by open_clip or, on ImageNet, by the model's authors. */
  readonly released: number | undefined;
}

/**
 * Looks up the published scores of a model on a data set.
 *
 * @param model - a published name; a path is never recognized.
 */
export function publishedScore(set: KnownSet, model: string): PublishedScore {
  const known = knownModels.find(({ name }) => name === model);
  const repositories = known?.name.startsWith("openai/") ?? false;
  // OpenAI's weights have two names; the architecture identifies them.
  const openAi = repositories
    ? knownModels.find(({ architecture, archive }) => archive && architecture === known!.architecture)
    : known;
  const name = openAi?.name ?? model;
  const imageNet = set.name === "imagenet" ? known?.imageNet : undefined;
  return { metric: set.metric, paper: share(set.paper[name]), released: share(set.released[name] ?? imageNet) };
}

/** Percentages are published with at most two decimals. */
const share = (percentage: number | undefined) =>
  percentage === undefined ? undefined : Math.round(100 * percentage) / 10_000;
