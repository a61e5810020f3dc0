import { fileURLToPath } from "node:url";
import { packageFile } from "../../core/package-files.ts";

/** The folder of the model that comes with this package. It knows drawings, not photos. */
export const pictogramModel = fileURLToPath(packageFile("assets/pictogram-clip"));
