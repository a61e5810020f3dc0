/** Unit vectors of many pictures or texts, in files. */
export { type EmbeddedShard, embedShards } from "./embed-shards.ts";
export { checksumOf, imageEmbedding, pictureEmbedding, textEmbedding } from "./embeddings.ts";
export type { VectorFormat } from "./vector-files.ts";
