/** The compressed merges, written by `scripts/make-vocabulary.ts`; checksum and size are of the uncompressed text. */
export const publishedMerges = {
  asset: "assets/clip-merges.txt.gz",
  sha256: "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a",
  bytes: 524_619,
};
