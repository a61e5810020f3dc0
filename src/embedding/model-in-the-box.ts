import { fileURLToPath } from "node:url";
import { packageFile } from "../core/package-files.ts";

/** The model in the box: its folder in this package. */
export const pictogramModel = fileURLToPath(packageFile("assets/pictogram-clip"));
