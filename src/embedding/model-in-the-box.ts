import { fileURLToPath } from "node:url";

/** The model in the box: its folder in this package. */
export const pictogramModel = fileURLToPath(new URL("../../assets/pictogram-clip", import.meta.url));
