// The door "clip-ts/search": an index of images, and free-text search in it.

import "./core/globals.ts";

/** Indexes: create, bring up to date, search. */
export { openIndex, type SearchHit, SearchIndex, type SearchOptions } from "./applications/search/search-index.ts";
export type { IndexOptions, IndexProgress, IndexSummary } from "./applications/search/index-folders.ts";
export { parseTerm, type Query, type QueryTerm } from "./applications/search/query.ts";

export { type DuplicateGroup, findDuplicates } from "./applications/search/duplicates.ts";

/** Conditions on images. */
export {
  type FilterComparison,
  type SearchFilter,
  type FilterField,
  parseFilter,
} from "./applications/search/filter.ts";

/** The rows of an index. */
export type {
  EmbeddedItem,
  EmbeddedView,
  Item,
  ModelFingerprint,
  Store,
  StoreHit,
  StoreSearch,
  UnreadableFile,
  View,
} from "./applications/search/store.ts";

export { ClipError, type ClipErrorCode } from "./core/errors.ts";
