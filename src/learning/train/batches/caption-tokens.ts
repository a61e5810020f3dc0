/** How captions are tokenized: what is too long is cut, and what looks like a mark is text, since captions come from strangers. */
export const asCaption = { truncate: true, specialTokens: "text" } as const;
