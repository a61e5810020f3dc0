import { fileURLToPath } from "node:url";
import { packageFile } from "../../core/package-files.ts";

/** Folder of the bundled model. */
export const pictogramModel = fileURLToPath(packageFile("assets/pictogram-clip"));
