/** Whether the environment forbids to ask the network, in the words of Hugging Face's own library. */
export const offlineByDefault = (): boolean => /^(1|on|yes|true)$/i.test(process.env["HF_HUB_OFFLINE"] ?? "");

/** The hub, or the mirror that the environment names. */
export const hubUrl = (): string => process.env["HF_ENDPOINT"] ?? "https://huggingface.co";
