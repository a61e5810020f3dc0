import type { SearchFilter } from "./filter.ts";

/** An image or a video in a search index. Fields that a file does not tell are missing. */
export interface Item {
  /** With `/` between folders. */
  readonly path: string;
  readonly kind: "image" | "video";
  /** Size of the file. */
  readonly bytes: number;
  /** When the file was changed, in milliseconds since 1970. */
  readonly modified: number;
  /** SHA-256 of the content, in hexadecimal. */
  readonly hash: string;
  /** 64 bits that are similar for images that look alike, in hexadecimal. */
  readonly perceptualHash?: string | undefined;
  /** When the image was taken, in the camera's time: "2024-05-01T12:30:00". */
  readonly taken?: string | undefined;
  readonly camera?: string | undefined;
  readonly lens?: string | undefined;
  readonly place?: string | undefined;
  /** In degrees, north and east positive. */
  readonly latitude?: number | undefined;
  readonly longitude?: number | undefined;
  /** In pixels, as shown. */
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  /** From 0 to 5. */
  readonly rating?: number | undefined;
  /** Length of a video, in seconds. */
  readonly duration?: number | undefined;
  readonly description?: string | undefined;
}

/** A part of an item that has a vector: an image as a whole, or a region of a video for some time. */
export interface View {
  /** Start and end in a video, in seconds. */
  readonly time?: readonly [start: number, end: number] | undefined;
  /** x, y, width, height in pixels; the whole image without it. */
  readonly box?: readonly [x: number, y: number, width: number, height: number] | undefined;
}

/** A view with its embedding. */
export interface EmbeddedView extends View {
  /** float32 [dim], of length 1. */
  readonly vector: Float32Array;
}

/** An item with all its views. */
export interface EmbeddedItem {
  readonly item: Item;
  readonly views: readonly EmbeddedView[];
}

/** A file that could not be indexed. */
export interface UnreadableFile extends Pick<Item, "path" | "bytes" | "modified"> {
  readonly reason: string;
}

/** A search result. */
export interface StoreHit extends EmbeddedView {
  readonly item: Item;
  /** Cosine similarity to the query, in [−1, 1]. */
  readonly similarity: number;
}

/** What a search of a store takes. */
export interface StoreSearch {
  /** Number of results. */
  readonly k: number;
  /** Items to choose from. */
  readonly where?: SearchFilter | undefined;
}

/** The model whose embeddings a store holds; those of another model mean something else. */
export interface ModelFingerprint {
  /** For messages. */
  readonly name: string;
  /** SHA-256 of weights, preprocessing and vocabulary. */
  readonly checksum: string;
  /** Length of a vector. */
  readonly dim: number;
}

/** Where a search index keeps its rows. */
export interface Store extends AsyncDisposable {
  readonly model: ModelFingerprint;
  /** Adds items, or replaces those with the same path. When it returns, all are on the disk. */
  upsert(items: readonly EmbeddedItem[], unreadable?: readonly UnreadableFile[]): Promise<void>;
  /** Removes items and unreadable files by path. */
  remove(paths: readonly string[]): Promise<void>;
  /** The views most similar to a query of length 1, best first. */
  search(query: Float32Array, options: StoreSearch): Promise<StoreHit[]>;
  /** The views of items whose name or description has all words of a text, the best item first. */
  searchWords(words: string, query: Float32Array, options: StoreSearch): Promise<StoreHit[]>;
  /** All items, in the order of their paths. */
  items(where?: SearchFilter): AsyncIterable<Item>;
  /** Files that could not be indexed, in the order of their paths. */
  unreadable(): AsyncIterable<UnreadableFile>;
  /** All views, in no particular order. */
  scan(where?: SearchFilter): AsyncIterable<Omit<StoreHit, "similarity">>;
  /** Items with the same content. */
  withHash(hash: string): Promise<EmbeddedItem | undefined>;
  /** Vectors of views chosen at random, the same ones as long as the index does not change. */
  sample(count: number): Promise<Float32Array[]>;
  /** A text that is kept with the index, such as a result that is derived from its model. */
  setting(name: string): Promise<string | undefined>;
  setSetting(name: string, value: string): Promise<void>;
  /** The right to change the index until it is disposed; undefined if another process has it. */
  lock(): Promise<AsyncDisposable | undefined>;
  /** Numbers of items and of views. */
  counts(): Promise<{ readonly items: number; readonly views: number; readonly unreadable: number }>;
}
