/** The model in the box, where a page looks for it: beside itself. */
export const pictogramModel = "./pictogram-clip/";
