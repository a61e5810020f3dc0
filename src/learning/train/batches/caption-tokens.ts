/** How captions are tokenized: too long ones are truncated, and special tokens in them are read as text, since captions are not trusted. */
export const asCaption = { truncate: true, specialTokens: "text" } as const;
