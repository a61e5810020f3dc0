import { fileURLToPath } from "node:url";
import { packageFile } from "../../core/package-files.ts";

export const pictogramModel = fileURLToPath(packageFile("assets/pictogram-clip"));
