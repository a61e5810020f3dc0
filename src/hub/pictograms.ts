import { fileURLToPath } from "node:url";

/** The folder of the model that comes with this package. It knows drawings, not photos. */
export const pictogramModel = fileURLToPath(new URL("../../assets/pictogram-clip", import.meta.url));
