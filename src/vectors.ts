// The door "clip-ts/vectors": unit vectors of many images or texts as files, and search in them.

import "./core/globals.ts";

/** Write vectors. */
export { embed, type EmbedOptions, type EmbedSource, type ImagesToEmbed } from "./applications/vectors/embed.ts";
export type { EmbeddedShard } from "./applications/vectors/embed-shards.ts";
export type { SkippedImage } from "./inputs/data/image-files.ts";

/** Read and search them. */
export { type Hit, readVectors, topK } from "./applications/vectors/search.ts";
export type { NamedVector, VectorFormat } from "./applications/vectors/vector-files.ts";
